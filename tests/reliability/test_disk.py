"""A full disk, folders that vanish and files in their place: nothing written before is lost, one sentence says it."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import harness
from errors import UserError
from state_manager import start
from storage.atomic import write_whole
from storage.checkpoint_folder import checkpoints, verify
from tests.conftest import tiny_options
from visual.board import Board

from .saving import options, resumed, small_state

pytestmark = pytest.mark.usefixtures("thin")

RUN = "sgdepth_eccv_test/sgdepth_base"


def limited(size: int) -> None:
    """Let no file of this process become larger, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """`limited` inside; what the tests themselves write may be longer."""
    limited(size)
    try:
        yield
    finally:
        limited(resource.RLIM_INFINITY)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    mounted = subprocess.run(words, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("size", [0, 1, 700, 1500, 3000, 4000])
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_checkpoint_that_does_not_fit_leaves_those_before_it(tmp_path, size, epoch):
    small_state(1, 1).save(tmp_path)
    said = rf"epoch_{epoch}: the checkpoint of \d{{4,5}} bytes cannot be written \(.*; \d+ bytes are free\); free some"
    with room(size), pytest.raises(UserError, match=said):
        small_state(2, epoch).save(tmp_path)
    assert not temporary(tmp_path)
    assert resumed(tmp_path).step == 1


def test_on_a_full_disk_as_many_checkpoints_are_whole_as_fit(small_disk):
    with pytest.raises(UserError, match="No space left on device; .* bytes are free"):
        for step in range(1, 20):
            small_state(step, step).save(small_disk)
    assert not temporary(small_disk)
    assert 1 < resumed(small_disk).step == step - 1 == len(checkpoints(small_disk))
    with pytest.raises(OSError, match=r"No space left on device; 99999 bytes, \d+ are free.*metrics.json"):
        write_whole(small_disk / "metrics.json", bytes(99_999))
    assert not temporary(small_disk)


def test_a_checkpoint_that_cannot_take_its_place_leaves_the_one_there(tmp_path, monkeypatch):
    small_state(1, 1).save(tmp_path)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == f".epoch_1.{os.getpid()}.tmp":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="Input/output error"):
        small_state(2, 1).save(tmp_path)
    monkeypatch.undo()
    assert resumed(tmp_path).step == 1


def test_the_size_said_is_the_size_needed(tmp_path):
    state = small_state(1, 1)
    folder = state.save(tmp_path)
    needed = sum((folder / name).stat().st_size for name in ("model.pth", "optim.pth", "scheduler.pth", "train.pth"))
    with room(10), pytest.raises(UserError) as caught:
        state.save(tmp_path)
    assert int(re.search(r"of (\d+) bytes", str(caught.value))[1]) == needed


def test_a_file_that_does_not_fit_leaves_the_one_before_it(tmp_path):
    path = tmp_path / "results" / "metrics.json"
    write_whole(path, b"old")
    said = r"written \(File too large; 1000 bytes, \d+ are free\): .*metrics.json"
    with room(100), pytest.raises(OSError, match=said):
        write_whole(path, bytes(1000))
    assert path.read_bytes() == b"old" and not temporary(tmp_path)


def test_on_a_full_disk_a_run_folder_is_locked_without_words(tmp_path):
    with room(0), harness.exclusive(tmp_path):
        assert (tmp_path / ".lock").stat().st_size == 0


def test_tensorboard_that_cannot_be_written_is_given_up_with_a_warning(tmp_path, caplog, capfd):
    board = Board(tmp_path)
    board.scalar("train", "loss", 1.0, 0)
    board.flush()
    with room(300):
        for step in range(100):
            board.scalar("train", "loss", 1.0, step)
            board.image("images", "picture", torch.rand(3, 8, 8), step)
            board.flush()
        board.close()
    assert caplog.text.count("TensorBoard cannot be written (File too large); the run goes on without it") == 1
    assert "Traceback" not in capfd.readouterr().err


def no_room_for_networks() -> None:
    limited(1 << 19)


def no_room_for_events() -> None:
    """Only checkpoints may be larger than an event."""
    from state_manager import RunState

    save = RunState.save

    def with_room(state: RunState, *words: object) -> Path:
        limited(resource.RLIM_INFINITY)
        try:
            return save(state, *words)
        finally:
            limited(8000)

    RunState.save = with_room
    limited(8000)


def output_on_a_full_disk() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def test_a_training_that_cannot_say_anything_trains_and_tells_why(street, tmp_path, warm):
    words = (*tiny_options(street, tmp_path), "--train-batches-per-epoch", 1, "--train-num-epochs", 1)
    mute = warm.run("train.py", *words, before=output_on_a_full_disk)
    assert mute.wait() == 2
    warning, error = mute.stderr.splitlines()
    assert warning == "warning: the output cannot be written (No space left on device); the run goes on without a word"
    assert error.startswith("error: output: No space left on device; what the command does is done")
    verify(tmp_path / RUN / "checkpoints/epoch_1", noted=True)


def test_a_training_on_a_full_disk_ends_with_one_sentence_and_goes_on_later(street, tmp_path, warm):
    words = (*tiny_options(street, tmp_path), "--train-batches-per-epoch", 1)
    first = warm.run("train.py", *words, "--train-num-epochs", 1, before=no_room_for_events)
    assert first.wait() == 0, first.stderr
    assert [line for line in first.stderr.splitlines() if "TensorBoard cannot be written" in line] == [
        f"warning: {tmp_path / RUN}: TensorBoard cannot be written (File too large); the run goes on without it"
    ]
    second = warm.run("train.py", *words, "--resume", "auto", before=no_room_for_networks)
    assert second.wait() == 2
    (line,) = second.stderr.splitlines()
    said = rf"error: {tmp_path / RUN}/checkpoints/epoch_2: the checkpoint of \d{{7}} bytes cannot be written "
    assert re.fullmatch(said + r"\(.*; \d+ bytes are free\); free some space or .*--resume auto", line)
    assert [path.name for path in (tmp_path / RUN / "checkpoints").iterdir()] == ["epoch_1"]
    verify(tmp_path / RUN / "checkpoints/epoch_1", noted=True)
    (tmp_path / RUN / "opt.json").unlink()
    third = warm.run("train.py", *words, "--resume", "auto")
    assert third.wait() == 0 and "epoch 1, batch 0" in third.stdout, third.stderr


def test_a_run_folder_that_vanished_is_made_anew_for_the_checkpoint(tmp_path, caplog):
    run_folder = tmp_path / "class" / "run"
    small_state(1, 1).save(run_folder)
    shutil.rmtree(tmp_path / "class")
    caplog.clear()
    small_state(2, 2).save(run_folder)
    assert f"{run_folder}: is gone with all that was in it, options and lock, too; made anew" in caplog.text
    assert resumed(run_folder).step == 2


def test_where_nothing_can_be_made_the_checkpoint_says_so(tmp_path):
    run_folder = tmp_path / "class" / "run"
    small_state(1, 1).save(run_folder)
    shutil.rmtree(tmp_path / "class")
    (tmp_path / "class").write_text("a file")
    with pytest.raises(UserError, match=r"epoch_2: .* cannot be written \(Not a directory; \d+ bytes are free\)"):
        small_state(2, 2).save(run_folder)
    assert (tmp_path / "class").read_text() == "a file"


@pytest.mark.parametrize("where", ["", "class", "class/name", "class/name/checkpoints"])
@pytest.mark.parametrize("what", [Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_folder_in_its_place_is_named_before_the_work(tmp_path, where, what):
    place = tmp_path / "runs" / where
    place.parent.mkdir(parents=True, exist_ok=True)
    what(place)
    args = options(tmp_path / "runs", experiment_class="class", model_name="name")
    with pytest.raises(UserError) as caught:
        run_folder = harness.run_folder(args)
        assert where.endswith("checkpoints"), "found too late"
        start(small_state(), run_folder, args)
    assert str(place) in str(caught.value) and "choose another" in str(caught.value)
    assert what is not Path.touch or place.read_bytes() == b""


def test_a_file_with_the_name_of_a_checkpoint_is_no_checkpoint(tmp_path):
    small_state(1, 1).save(tmp_path)
    (tmp_path / "checkpoints/epoch_2").write_text("")
    assert resumed_despite(tmp_path) == 1
    small_state(2, 2).save(tmp_path)
    assert resumed(tmp_path).step == 2


def resumed_despite(run_folder: Path) -> int:
    state = small_state()
    start(state, run_folder, options(run_folder))
    return state.step


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("eval_images/eigen/img_0.png", lambda path: path.parents[1].touch()),
        ("eval_images/eigen/img_0.png", lambda path: path.mkdir(parents=True)),
        ("metrics.json", Path.mkdir),
    ],
)
def test_results_of_an_evaluation_with_no_place_are_named(tmp_path, name, make):
    make(tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match=rf"cannot be written \(.*; 7 bytes, \d+ are free\): '{tmp_path / name}'"):
        harness.write_file(tmp_path / name, b"results")
    assert sorted(tmp_path.rglob("*")) == before
