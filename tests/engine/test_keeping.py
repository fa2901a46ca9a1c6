"""Which checkpoints of a run stay."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import arguments
from engine.keeping import BETTER, Keep, build_keep
from errors import UserError
from evaluation.boundaries import BOUNDARIES
from evaluation.depth import FURTHER, METRICS, POOLED
from methods.stored import read_network
from storage.checkpoint_folder import checkpoints, verify
from storage.in_use import hold
from tests.reliability.saving import resumed, small_state

SETS = [
    SimpleNamespace(name=f"{name}_validation", measure=purpose, domain=f"{name}_val")
    for name, purpose in (("zhou", "depth"), ("kitti", "depth"), ("cityscapes", "segmentation"))
]


def keep(*rules: str) -> Keep:
    return build_keep(rules, SETS)


def judged(score: float | None, **more: object) -> dict[str, object]:
    entry = {"metrics": {"abs_rel": score, "a1": score}, "images": 4, "protocol": {"name": "usual"}} | more
    return {} if score is None else {"zhou_val": entry}


def save(run: Path, epoch: int, score: float | None = None, batch: int = 0, **more: object) -> Path:
    state = small_state(3 * epoch + batch, epoch, batch)
    state.validation = judged(score, **more)
    return state.save(run)


def names(run: Path) -> list[str]:
    return [folder.name.removeprefix("epoch_") for folder in checkpoints(run)]


def train(run: Path, rules: Keep, *scores: float | None, first: int = 1) -> list[str]:
    """What is said after these epochs."""
    return [said for epoch, score in enumerate(scores, first) for said in rules.tidy(save(run, epoch, score))]


@contextmanager
def other_process(work: Callable[[], object]) -> Iterator[int]:
    """A process that has done its work and lives on."""
    listen, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            work()
            os.write(tell, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(listen, 1) == b"1"
        yield pid
    finally:
        os.close(listen)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_without_a_rule_all_stay(tmp_path):
    assert train(tmp_path, keep(), 3.0, 1.0, 2.0) == [] and names(tmp_path) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        (("last=2",), ["4", "5"]),
        (("best=abs_rel",), ["2", "5"]),  # the newest always stays
        (("best=a1",), ["1", "5"]),
        (("best=abs_rel", "best=a1", "last=2"), ["1", "2", "4", "5"]),
        (("best=zhou_validation:abs_rel", "last=1"), ["2", "5"]),
        (("last=9",), ["1", "2", "3", "4", "5"]),
    ],
)
def test_the_best_and_the_last_stay(tmp_path, rules, stay):
    train(tmp_path, keep(*rules), 3.0, 1.0, 2.0, 1.5, 2.5)
    assert names(tmp_path) == stay


def test_what_was_removed_is_said_with_the_best(tmp_path):
    said = train(tmp_path, keep("best=abs_rel", "last=1"), 2.0, 1.0, 1.5, 1.7)
    assert said == [
        "removed epoch_1; best abs_rel of zhou_val: epoch_2, 1.0000",
        "removed epoch_3; best abs_rel of zhou_val: epoch_2, 1.0000",
    ]
    assert train(tmp_path, keep("last=1"), 9.0, first=5) == ["removed epoch_2, epoch_4"]


def test_the_best_is_known_after_a_new_start(tmp_path):
    train(tmp_path, keep("best=abs_rel", "last=1"), 2.0, 1.0, 1.5)
    state = resumed(tmp_path)
    assert state.epoch == 3
    train(tmp_path, keep("best=abs_rel", "last=1"), 1.6, 1.7, first=4)
    assert names(tmp_path) == ["2", "5"]
    train(tmp_path, keep("best=abs_rel", "last=1"), 0.5, 0.7, first=6)
    assert names(tmp_path) == ["6", "7"]


def test_equals_numbers_of_other_rules_and_epochs_without_numbers_change_nothing(tmp_path):
    rules = keep("best=abs_rel", "last=1")
    train(tmp_path, rules, 1.0, 1.0, None, float("nan"), 1.0)
    assert names(tmp_path) == ["1", "5"]
    rules.tidy(save(tmp_path, 6, 2.0, protocol={"name": "another"}))  # from here on another protocol judges
    assert names(tmp_path) == ["6"]
    rules.tidy(save(tmp_path, 7, 3.0, protocol={"name": "another"}))
    assert names(tmp_path) == ["6", "7"]


def test_a_stopped_epoch_does_not_inherit_the_numbers_of_the_one_before(tmp_path):
    train(tmp_path, keep("last=1"), 1.0)
    save(tmp_path, 1, 1.0, batch=2)
    assert resumed(tmp_path).batch == 2 and names(tmp_path) == ["1", "1_batch_2"]
    train(tmp_path, keep("best=abs_rel", "last=1"), 2.0, first=2)
    assert names(tmp_path) == ["1", "2"]


def test_damaged_folders_do_not_count_and_the_newest_valid_one_stays(tmp_path):
    train(tmp_path, keep(), 1.0, 2.0, 3.0, 4.0)
    os.truncate(tmp_path / "checkpoints/epoch_4/model.pth", 10)
    (tmp_path / "checkpoints/epoch_3/meta.json").write_text("{}")
    (tmp_path / "checkpoints/epoch_9").mkdir()
    saved = save(tmp_path, 3, 3.0)  # a run that went on from epoch 2
    keep("last=2").tidy(saved)
    assert names(tmp_path) == ["2", "3", "4", "9"]
    verify(saved, noted=True)


@pytest.mark.parametrize("use", [lambda path: hold(path / "model.pth"), read_network])
def test_what_another_process_uses_stays_until_it_ends(tmp_path, use):
    first = save(tmp_path, 1, 1.0)
    with other_process(lambda: use(first)):
        said = train(tmp_path, keep("last=1"), 1.0, 1.0, first=2)
        assert said == [
            f"{first} stays for now: another process uses it",
            f"{first} stays for now: another process uses it",
            "removed epoch_2",
        ]
        assert names(tmp_path) == ["1", "3"]
        verify(first, noted=True)
    assert train(tmp_path, keep("last=1"), 1.0, first=4) == ["removed epoch_1, epoch_3"]


def test_a_checkpoint_within_an_epoch_stays_while_it_is_used(tmp_path):
    within = save(tmp_path, 1, batch=2)
    with other_process(lambda: read_network(within)):
        save(tmp_path, 2)
        assert names(tmp_path) == ["1_batch_2", "2"]
    save(tmp_path, 3)
    assert names(tmp_path) == ["2", "3"]


def test_a_run_does_not_keep_the_checkpoint_it_went_on_from(tmp_path):
    train(tmp_path, keep("last=1"), 1.0)
    resumed(tmp_path)
    assert train(tmp_path, keep("last=1"), 1.0, first=2) == ["removed epoch_1"]


def test_what_cannot_be_removed_is_said(tmp_path, monkeypatch):
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    save(tmp_path, 1)
    monkeypatch.setattr("storage.checkpoint_folder.discard", refuse)
    (said,) = train(tmp_path, keep("last=1"), None, first=2)
    assert said.endswith("epoch_1 stays for now: it cannot be removed (Permission denied)")


def test_the_first_loader_that_has_the_metric_decides():
    (best,) = keep("best=miou").best
    assert (best.domain, best.metric) == ("cityscapes_val", "miou")
    (best,) = keep("best=kitti_val:a1").best
    assert best.domain == "kitti_val"


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("best=absrel", r"--keep best=absrel: no such metric \(closest: abs_rel"),
        ("best=zhou:abs_rel", "zhou is no loader of validation .there are: zhou_validation, kitti_validation"),
        ("best=zhou_validation:miou", "no validation tells it; name a data set in --segmentation-validation-loaders"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(rule, fault):
    with pytest.raises(UserError, match=fault):
        keep(rule)
    with pytest.raises(UserError, match="--keep"):
        build_keep([rule], [])


@pytest.mark.parametrize("text", ["best", "last=0", "last=-1", "last=3,last=4", "worst=a1", "best=a:b:c", "3", "best="])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(UserError, match="--keep: .* is not a list such as best=abs_rel,last=3"):
        arguments.parse("train", ["--keep", text])


def test_rules_come_from_presets_too(tmp_path):
    (tmp_path / "one.toml").write_text('keep = ["best=abs_rel", "last=3"]\n')
    (tmp_path / "two.toml").write_text('keep = "best=abs_rel, last=3"\n')
    for words in (["--config", f"{tmp_path}/one.toml"], ["--config", f"{tmp_path}/two.toml"]):
        assert arguments.parse("train", words).keep == ("best=abs_rel", "last=3")
    assert arguments.parse("train", []).keep == ()


def test_every_metric_of_depth_says_which_way_is_better():
    assert set(BETTER["depth"]) == {*METRICS, *FURTHER, *BOUNDARIES, *(f"{name}_pooled" for name in POOLED)}
    assert {name for name, choose in BETTER["depth"].items() if choose is max} == {"a1", "a2", "a3"}


def test_a_metric_that_validation_does_not_measure_is_told(tmp_path):
    said = train(tmp_path, keep("best=abs_diff", "last=1"), 2.0, 1.0)
    told = "best abs_diff of zhou_val: no checkpoint stays for it, validation does not measure it there"
    assert said == [told, told, "removed epoch_1"]
