"""A NaN or infinite number: the step is left out without a trace, told, kept, and too many of them end the run."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import arguments
import train
from benchmarks import replay
from dataloader import prefetch
from dataloader.batch import Batch
from engine import bad_steps
from engine.bad_steps import BadSteps
from engine.optimizer import Rule, Schedule
from engine.outcome import Outcome
from engine.updates import Updates
from errors import UserError
from losses.consistency import SemanticDepthConsistency
from losses.depth import DepthLoss
from losses.masking import DynamicClassMask
from losses.objective import Objective
from losses.semantic import SegmentationLoss
from methods.video.schedule import Schedule as Parts
from methods.video.training import VideoTraining
from models.self_teacher import SelfTeacher
from storage.atomic import write_whole
from tests.commands import Ranks
from tests.conftest import tiny_options
from tests.reliability.network import Network
from tests.test_train_step import street_like

pytestmark = pytest.mark.usefixtures("thin")

RUN = Path("sgdepth_eccv_test/sgdepth_base")
NAN = float("nan")


class Run:
    """A network that trains on random batches, as train.py does it."""

    def __init__(self, folder: Path, limit: int = 3, scaler: torch.amp.GradScaler | None = None, accumulate: int = 1):
        torch.manual_seed(0)
        self.model = Network().train()
        self.objective = Objective(
            DepthLoss(), SegmentationLoss(), consistency=SemanticDepthConsistency(), consistency_weight=1.0
        )
        self.masking = DynamicClassMask(0, 20, False, 0.1, classes=range(20))
        schedule = Parts(self.masking, consistency_from=0)
        self.training = VideoTraining(self.model, self.objective, schedule, contextlib.nullcontext)
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-4, fused=True)
        scaler = scaler or torch.amp.GradScaler("cpu", enabled=False)
        rates = Schedule(self.optimizer, Rule(steps=100))
        self.updates = Updates(self.optimizer, rates, scaler, accumulate=accumulate, batches=100)
        self.state = SimpleNamespace(model=self.model, epoch=0, batch=0, step=0)
        self.guard = BadSteps(self.state, folder, {}, limit, ("depth", "segmentation", "pose"), write_whole)

    def step(self, batches: list[Batch] | None = None) -> list[Outcome]:
        outcomes = self.training.step(self.model, batches or street_like(), 0, self.state.batch)
        if self.updates(self.guard.weigh(outcomes), 0, self.state.batch):
            self.training.after_step(self.guard.settle(self.updates.finite))
        self.state.batch, self.state.step = self.state.batch + 1, self.state.step + 1
        self.guard.check()
        return outcomes

    def content(self) -> list[Any]:
        """All that a step changes."""
        optimizer = self.optimizer.state_dict()["state"]
        moments = [value.clone() for part in optimizer.values() for value in part.values()]
        return [*(value.clone() for value in self.model.state_dict().values()), *moments, self.masking.ious().copy()]


def same(first: list[Any], second: list[Any]) -> bool:
    return all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(first, second, strict=True))


def nan_in(tensor: Tensor) -> Tensor:
    spoiled = tensor.clone()
    spoiled[tuple(size // 2 for size in tensor.shape)] = NAN
    return spoiled


def in_the_image(training: Run, batches: list[Batch]) -> str:
    batches[0] = replace(batches[0], inputs={**batches[0].inputs, 1: nan_in(batches[0].inputs[1])})
    return "jittered image 1 of depth"


def in_the_intrinsics(training: Run, batches: list[Batch]) -> str:
    K = batches[0].K.clone()
    K[1, 0, 0] = float("inf")
    batches[0] = replace(batches[0], K=K)
    return "intrinsics of depth"


def in_the_labelled_image(training: Run, batches: list[Batch]) -> str:
    image = {0: nan_in(batches[1].inputs[0])}
    batches[1] = replace(batches[1], images=image, inputs=image)
    return "image 0 of segmentation"


def in_the_disparity(training: Run, batches: list[Batch]) -> str:
    """Warping forgives it, and a loss may recover."""
    handle = training.model.depth.register_forward_hook(lambda *found: (handle.remove(), nan_in(found[2]))[1])
    return "disparity 0 of depth"


def in_a_term(training: Run, batches: list[Batch]) -> str:
    """With a gradient of 0, as a minimum may hide it: the loss alone tells."""
    consistency = training.training.objective.consistency
    plain = consistency.forward
    consistency.forward = lambda *given: plain(*given) + NAN
    return "loss_sd of depth"


def in_a_gradient(training: Run, batches: list[Batch]) -> str:
    weight = training.model.depth.weight
    handle = weight.register_hook(lambda grad: (handle.remove(), nan_in(grad))[1])
    return "gradient of depth.weight"


FAULTS = (in_the_image, in_the_intrinsics, in_the_labelled_image, in_the_disparity, in_a_term, in_a_gradient)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Run:
    """After one sound step."""
    training = Run(tmp_path_factory.mktemp("run"), limit=100)
    training.step()
    return training


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_step_leaves_no_trace_and_is_named(begun, fault, caplog):
    training, before = begun, begun.content()
    objective, batches = training.objective, street_like()
    training.training.objective = copy.deepcopy(objective)
    name = fault(training, batches)
    training.step(batches)
    assert f"step {training.state.step}: left out, {name} is NaN or infinite; samples street/0" in caplog.text
    assert same(before, training.content())
    training.training.objective = objective
    training.step()
    assert not same(before, training.content())
    assert caplog.text.count("left out") == 1


def test_one_bad_batch_spoils_its_group(tmp_path):
    training = Run(tmp_path, accumulate=2)
    for _ in range(2):
        training.step()
    before = training.content()
    spoiled = street_like()
    in_the_image(training, spoiled)
    for batches in (spoiled, street_like()):
        training.step(batches)
    assert same(before, training.content())
    statistics = before[: len(training.model.state_dict())]
    training.step()  # half a group, as a damaged file may leave it
    training.guard.drop_unfinished()
    training.training.drop_unfinished()
    assert same(statistics, list(training.model.state_dict().values()))
    assert same(before[-1:], [training.masking.ious()])


def test_a_gradient_beyond_float16_is_no_bad_step_and_a_lost_loss_is(tmp_path, caplog):
    training = Run(tmp_path, scaler=torch.amp.GradScaler("cpu", init_scale=2.0))
    training.step()
    before = training.content()
    in_a_gradient(training, [])
    training.step()
    assert not caplog.text  # the scaler leaves it out: weights and moments stay, statistics go on
    assert same(
        [value for _, value in training.model.named_parameters()],
        [
            before[place]
            for place, key in enumerate(training.model.state_dict())
            if key in dict(training.model.named_parameters())
        ],
    )
    before, spoiled = training.content(), street_like()
    name = in_the_image(training, spoiled)
    training.step(spoiled)
    assert name in caplog.text and same(before, training.content())


def test_a_teacher_that_follows_the_network_does_not_follow_a_bad_step(begun):
    teacher = SelfTeacher(begun.model, "ema")
    teacher.begin_epoch()
    with torch.no_grad():
        for weight in begun.model.parameters():
            weight.add_(1e-3)
    before = [value.clone() for value in teacher.state_dict()["branch"].values()]
    teacher.after_step(torch.tensor(1.0))
    assert same(before, list(teacher.state_dict()["branch"].values()))
    teacher.after_step(torch.tensor(0.0))
    assert not same(before, list(teacher.state_dict()["branch"].values()))


class Reads(TorchDispatchMode):
    """Counts what makes the host wait for a device: values read, and shapes that depend on values."""

    NAMES = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique", "_unique2", "bincount")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        name = function.overloadpacket.__name__
        moved = name in ("_to_copy", "copy_") and str((kwargs or {}).get("device", "")) == "cpu"
        if name in self.NAMES or moved:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


class Copied:
    """An event of a GPU that is always behind."""

    waited = 0

    def synchronize(self) -> None:
        Copied.waited += 1


def test_good_steps_read_nothing_from_the_device(tmp_path, monkeypatch):
    training, read = Run(tmp_path), []
    training.step()
    monkeypatch.setattr(Copied, "waited", 0)
    monkeypatch.setattr(bad_steps, "_to_host", lambda flags: (flags, Copied()))
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__array__"):
        plain = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, lambda *args, name=name, plain=plain: (read.append(name), plain(*args))[1])
    with Reads() as mode:
        for _ in range(2):
            training.step()
    assert not mode.found and not read and not Copied.waited
    training.step()
    assert Copied.waited == 1 and read == ["tolist"]  # flags of two steps ago, which have long been on the host


def test_flags_that_come_late_name_their_own_step(tmp_path, monkeypatch, caplog):
    training = Run(tmp_path)
    monkeypatch.setattr(bad_steps, "_to_host", lambda flags: (flags, Copied()))
    spoiled = street_like()
    name = in_the_image(training, spoiled)
    training.step(spoiled)
    training.step()
    assert not caplog.text
    training.step()
    assert f"step 1: left out, {name}" in caplog.text
    training.guard.require_sound()
    assert caplog.text.count("left out") == 1


def test_bad_steps_end_the_run_only_in_a_row(tmp_path, caplog):
    training = Run(tmp_path, limit=2)
    for good in (False, True, False, True):
        batches = street_like()
        if not good:
            in_the_image(training, batches)
        training.step(batches)
    spoiled = street_like()
    in_the_image(training, spoiled)
    training.step(spoiled)
    with pytest.raises(UserError, match="2 steps in a row had a number that is NaN"):
        training.step(spoiled)
    assert caplog.text.count("left out") == 4
    assert len(list((tmp_path / "bad_steps").iterdir())) == bad_steps.KEPT


def test_a_run_in_which_no_step_counted_is_a_mistake(tmp_path):
    training, spoiled = Run(tmp_path, limit=9), street_like()
    training.guard.require_some()
    in_the_image(training, spoiled)
    for _ in range(2):
        training.step(spoiled)
    with pytest.raises(UserError, match="^step 2: none of the 2 steps counted"):
        training.guard.require_some()
    training.step()
    training.guard.require_some()


def test_a_run_whose_gradients_all_overflowed_is_a_mistake(tmp_path):
    training = Run(tmp_path, scaler=torch.amp.GradScaler("cpu", init_scale=2.0**60))
    training.updates.require_some()
    training.updates.begin_epoch(0)
    for _ in range(2):
        in_a_gradient(training, [])
        training.step()
    with pytest.raises(UserError, match="gradients of all 2 steps overflowed"):
        training.updates.require_some()
    training.step()
    training.updates.require_some()


def test_a_network_that_gives_no_numbers_is_not_worth_a_checkpoint(tmp_path):
    training = Run(tmp_path)
    training.step()
    training.guard.require_sound()
    with torch.no_grad():
        training.model.depth.weight.fill_(1e38)
    training.step()
    with pytest.raises(UserError, match="the loss is NaN or infinite"):
        training.guard.require_sound()


# The command.


def options(street: Path, folder: Path, *words: object) -> Any:
    given = ("--train-num-epochs", 1, "--train-batches-per-epoch", 4, "--masking-enable", "--masking-from-epoch", 0)
    return arguments.parse("train", [*tiny_options(street, folder), *map(str, (*given, *words))])


def victim(monkeypatch: pytest.MonkeyPatch, steps: range) -> list[int]:
    """Spoil the intrinsics of the batches of some steps; counts batches of depth."""
    plain, seen = prefetch.to_device, []

    def spoiled(raw: Any, device: Any) -> Any:
        if raw.spec.purpose == "depth":
            seen.append(len(seen))
            if seen[-1] in steps:
                raw = replace(raw, K=nan_in(raw.K))
        return plain(raw, device)

    monkeypatch.setattr(prefetch, "to_device", spoiled)
    return seen


def files(folder: Path) -> dict[str, Any]:
    """Everything a checkpoint holds."""
    return {path.name: torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pth"))}


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, Tensor):
        return torch.equal(
            one.nan_to_num(-1) if one.is_floating_point() else one,
            other.nan_to_num(-1) if one.is_floating_point() else other,
        )
    return one == other or isinstance(one, list) and all(map(equal, one, other))


def test_a_bad_step_may_be_the_one_that_pictures_are_drawn_of(street, tmp_path, monkeypatch, caplog):
    victim(monkeypatch, range(1))
    assert train.train(options(street, tmp_path, "--train-batches-per-epoch", 2)) == 0
    assert "epoch 1, step 1: left out, intrinsics of kitti_zhou_train_depth" in caplog.text


def test_a_network_that_a_sound_step_broke_is_not_saved(tmp_path):
    training = Run(tmp_path)
    training.step()
    training.guard.require_sound()
    with torch.no_grad():
        training.model.depth.weight.fill_(torch.inf)
    with pytest.raises(UserError, match="it is not saved"):
        training.guard.require_sound()


def test_a_run_with_a_bad_step_that_was_stopped_goes_on_bit_for_bit(street, tmp_path, monkeypatch, caplog):
    victim(monkeypatch, range(1, 2))
    assert train.train(options(street, tmp_path / "whole")) == 0
    monkeypatch.undo()
    seen = victim(monkeypatch, range(1, 2))
    plain = BadSteps.settle

    def stops(guard: BadSteps, gradients: Tensor | None) -> Tensor:
        if len(seen) == 2:  # the bad step itself
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(guard, gradients)

    monkeypatch.setattr(BadSteps, "settle", stops)
    assert train.train(options(street, tmp_path / "parts")) == 143
    monkeypatch.undo()
    assert train.train(options(street, tmp_path / "parts", "--resume", "auto")) == 0
    whole, parts = (files(tmp_path / name / RUN / "checkpoints/epoch_1") for name in ("whole", "parts"))
    assert whole["train.pth"]["step"] == 4 and max(s["step"] for s in whole["optim.pth"]["state"].values()) == 3
    assert equal(whole, parts)
    assert caplog.text.count("epoch 1, step 2: left out, intrinsics of kitti_zhou_train_depth") == 2


def test_too_many_bad_steps_leave_the_last_good_state_and_a_batch_to_replay(street, tmp_path, monkeypatch, capsys):
    victim(monkeypatch, range(2, 99))
    with pytest.raises(UserError, match=r"2 steps in a row .* \(--train-max-bad-steps\)"):
        train.train(options(street, tmp_path, "--train-max-bad-steps", 2, "--train-batches-per-epoch", 9))
    (checkpoint,) = (tmp_path / RUN / "checkpoints").iterdir()
    assert checkpoint.name == "epoch_0_batch_4"
    state = files(checkpoint)
    assert {int(part["step"]) for part in state["optim.pth"]["state"].values()} == {2}
    monkeypatch.undo()
    found = sorted((tmp_path / RUN / "bad_steps").iterdir())
    assert [path.name for path in found] == ["step_3.pt", "step_4.pt"]
    kept = torch.load(found[0], weights_only=True)
    assert equal(kept["model"], state["model.pth"]) and len(kept["passes"][0][0]["raw"]["names"]) == 2
    assert kept["bad"][0] == "intrinsics of kitti_zhou_train_depth"
    finite = replay.replay(found[0])
    assert [name for name, fine in finite.items() if not fine][: len(kept["bad"])] == kept["bad"]
    monkeypatch.setattr("sys.argv", ["replay", str(found[0])])
    assert replay.main() == 0 and "intrinsics of kitti_zhou_train_depth: NaN" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["replay", str(checkpoint / "model.pth")])
    assert replay.main() == 2


def spoil_the_second_process() -> None:
    """Its first batch, before the command begins."""
    if os.environ["RANK"] == "1":
        victim(pytest.MonkeyPatch(), range(1))


def test_processes_leave_a_step_out_together(street, tmp_path, warm):
    words = [*tiny_options(street, tmp_path), "--segmentation-training-loaders", "", "--train-num-epochs", 1]
    both = Ranks.start(warm, "train.py", *words, before=spoil_the_second_process)
    assert both.wait() == [0, 0], both.stderr
    first, second = (command.stderr for command in both.commands)
    assert not first and second.count("step 1: left out, intrinsics of kitti_zhou_train_depth") == 1
    state = files(tmp_path / RUN / "checkpoints/epoch_1")
    assert {int(part["step"]) for part in state["optim.pth"]["state"].values()} == {2}
    assert all(value.isfinite().all() for value in state["model.pth"].values())
    assert [path.name for path in (tmp_path / RUN / "bad_steps").iterdir()] == ["step_1_process_1.pt"]


def test_files_of_an_earlier_start_make_room_and_those_of_other_processes_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.ranks.rank_and_size", lambda: (0, 2))
    (tmp_path / "bad_steps").mkdir()
    for name in ("step_1_process_0.pt", "step_9_process_0.pt", "step_1_process_1.pt"):
        (tmp_path / "bad_steps" / name).touch()
    training, spoiled = Run(tmp_path), street_like()
    in_the_image(training, spoiled)
    training.step(spoiled)
    left = {path.name for path in (tmp_path / "bad_steps").iterdir()}
    assert left == {"step_1_process_0.pt", "step_1_process_1.pt"}
    assert (tmp_path / "bad_steps/step_1_process_0.pt").stat().st_size > 0
