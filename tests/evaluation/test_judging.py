"""What evaluation commands do around judging: what a network computes, pictures, and several processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from errors import UserError
from evaluation.depth import evaluate_depth
from evaluation.judging import WAITING_PICTURES, Evaluation
from evaluation.pose import evaluate_pose
from evaluation.protocols import DEPTH_PROTOCOLS
from evaluation.segmentation import evaluate_segmentation
from evaluation.tables import read_metrics
from models.prediction import Outputs, Prediction
from models.sgdepth import SGDepth
from models.teacher import Habits, Teacher
from perspective_resample.input_view import InputView
from storage.atomic import write_whole
from tests.evaluation import test_depth, test_pose

pytestmark = pytest.mark.usefixtures("thin")

LOADER = SimpleNamespace(spec=SimpleNamespace(domain="set"), first=0, skipped=0)


def numbers(batch: int, *shape: int) -> torch.Tensor:
    """The same for every batch, so that nothing depends on their order."""
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0))


def random_disparity(images: torch.Tensor) -> Prediction:
    return Outputs(disp={0: numbers(len(images), 1, 24, 80)}).prediction((0.1, 100.0))


def random_logits(images: torch.Tensor) -> SimpleNamespace:
    return SimpleNamespace(logits=numbers(len(images), 20, 8, 16))


def random_motion(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.eye(4) + 0.1 * numbers(len(first), 4, 4)


def labelled(seed: int) -> SimpleNamespace:
    labels = np.random.RandomState(seed).randint(0, 19, (2, 16, 32)).astype(np.uint8)
    truth = tuple(SimpleNamespace(name=f"{seed} {number}", labels=ids) for number, ids in enumerate(labels))
    return SimpleNamespace(spec=LOADER.spec, inputs={0: torch.zeros(2, 3, 8, 16)}, truth=truth)


def evaluation(folder: Path, model: object = None, **options: object) -> Evaluation:
    return Evaluation(
        model, (), folder, **{"pictures": 20, "precision": nullcontext, "stream": iter, "write": write_whole, **options}
    )


def test_evaluating_depth_computes_what_the_whole_network_says_without_its_classes(monkeypatch):
    model = SGDepth(disparity_bias=0).eval()
    images = torch.rand(2, 3, 64, 128)
    with torch.inference_mode():
        expected = model.predict(images).depth
        monkeypatch.setattr(model.seg, "forward", lambda *_: pytest.fail("classes are computed"))
        found = evaluation(Path(), model).predict_depth(images)
    assert torch.equal(found.depth.values, expected.values) and found.logits is None


def test_evaluating_segmentation_leaves_the_disparity_out(monkeypatch):
    model = SGDepth().eval()
    images = torch.rand(1, 3, 64, 128)
    with torch.inference_mode():
        expected = model.predict(images).logits
        monkeypatch.setattr(model.depth, "forward", lambda *_: pytest.fail("disparity is computed"))
        found = evaluation(Path(), model).predict_classes(images)
    assert torch.equal(found.logits, expected) and found.depth is None


def test_a_network_says_what_it_wants_to_see_and_what_it_is():
    plain = evaluation(Path(), SGDepth())
    assert plain.view("kitti") == InputView() and plain.description() == {}
    teacher = Teacher(torch.nn.Identity(), Habits(target=(352, 1216), crop=(352, 1216)), {"name": "one"})
    other = evaluation(Path(), teacher)
    assert other.view("kitti") == InputView(resized=False, crop=(352, 1216))
    assert other.description()["teacher"] == {"name": "one"} and other.description()["size"] == [352, 1216]


def test_pictures_are_drawn_beside_the_loop_and_a_few_wait_at_most(tmp_path):
    judging, go_on, drawn = evaluation(tmp_path), threading.Event(), []

    def draw() -> bytes:
        assert go_on.wait(60)
        drawn.append(0)
        return b"picture"

    for position in range(WAITING_PICTURES):
        judging.keep_picture(LOADER, position, draw)
    assert not drawn
    go_on.set()
    for position in range(WAITING_PICTURES, 9):
        judging.keep_picture(LOADER, position, draw)
        assert len(drawn) >= position - WAITING_PICTURES
    assert judging.everywhere(lambda: 1) == [1]
    assert {path.name for path in (tmp_path / "eval_images/set").iterdir()} == {f"img_{n}.png" for n in range(9)}


def test_a_picture_that_cannot_be_written_ends_the_evaluation(tmp_path):
    (tmp_path / "eval_images").write_text("a file where the folder belongs")
    judging = evaluation(tmp_path)
    with pytest.raises(OSError, match="eval_images"):
        judging.everywhere(lambda: judging.keep_picture(LOADER, 0, lambda: b"picture"))


def test_pictures_are_those_of_the_first_images_of_the_whole_set(tmp_path):
    judging, share = evaluation(tmp_path, pictures=7), SimpleNamespace(spec=LOADER.spec, first=5, skipped=0)
    for position in range(4):
        judging.keep_picture(share, position, lambda: b"picture")
    judging.everywhere(list)
    assert {path.name for path in (tmp_path / "eval_images/set").iterdir()} == {"img_5.png", "img_6.png"}


def test_one_process_tells_and_keeps_the_results(tmp_path, capsys):
    for is_first in (False, True):
        judging = evaluation(tmp_path, is_first=is_first)
        assert not list(tmp_path.iterdir())
        judging.tell("a line")
        judging.keep_results(LOADER, {"a": 1.0}, [{"name": "x"}], {})
    assert capsys.readouterr().out == "a line\n"
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "metrics_set.csv"}


def test_evaluations_at_work_together_lose_no_results(tmp_path, monkeypatch):
    monkeypatch.setattr("storage.lock.RETRY", 0.001)

    def slowly(path: Path, content: bytes) -> None:
        time.sleep(0.01)
        write_whole(path.with_name(f"{path.name}.{threading.get_ident()}"), content)
        path.with_name(f"{path.name}.{threading.get_ident()}").replace(path)

    def judge(domain: str) -> None:
        loader = SimpleNamespace(spec=SimpleNamespace(domain=domain), first=0, skipped=0)
        evaluation(tmp_path, write=slowly).keep_results(loader, {"a": 1.0}, [{"name": "x"}], {})

    domains = {f"set_{number}" for number in range(12)}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(judge, domains))
    assert read_metrics(tmp_path).keys() == domains
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", *(f"metrics_{name}.csv" for name in domains)}


def found_in(evaluate: Callable[..., object], batches: list[object]) -> object:
    """What a process finds that has only these batches."""
    found = []

    def leave(work: Callable[[], object]) -> list[object]:
        found.append(work())
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate(batches, everywhere=leave)
    return found[0]


@pytest.mark.parametrize(
    ("evaluate", "batches"),
    [
        (
            partial(evaluate_depth, random_disparity, protocol=DEPTH_PROTOCOLS["kitti_kitti"]),
            [test_depth.make_batch([test_depth.sparse_truth(seed)] * 2) for seed in range(4)],
        ),
        (partial(evaluate_segmentation, random_logits), [labelled(seed) for seed in range(4)]),
        (partial(evaluate_pose, random_motion), test_pose.make_batches(test_pose.drive(8), 2)),
    ],
    ids=["depth", "segmentation", "pose"],
)
def test_shares_of_several_processes_make_the_result_of_one(evaluate, batches):
    whole = evaluate(batches)
    shares = [found_in(evaluate, part) for part in (batches[:3], [], batches[3:])]
    joined = evaluate([], everywhere=lambda work: shares)
    assert joined.domain == whole.domain and joined.metrics == whole.metrics and joined.rows == whole.rows
    with pytest.raises(UserError):
        evaluate([], everywhere=lambda work: [found_in(evaluate, [])] * 2)
