"""Checkpoints survive what kills their writer, and damage in them is found."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from errors import UserError
from state_manager import start
from storage.weights import read_state_dict

from .saving import options, resumed, small_state

pytestmark = pytest.mark.usefixtures("thin")

FILES = ("model.pth", "optim.pth", "scheduler.pth", "train.pth", "meta.json")
TOUCHING = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")


def in_child(work: Callable[[], None]) -> int:
    """Process id of a fork that does the work and leaves without a trace."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def save(run_folder: Path, step: int, epoch: int, batch: int = 0) -> None:
    small_state(step, epoch, batch).save(run_folder)


def test_killed_at_random_moments_the_newest_checkpoint_is_whole(tmp_path, rounds):
    def save_on() -> None:
        for step in itertools.count(last + 1):
            # Three steps per epoch, the last of which is saved twice: new folders, dropped and replaced ones.
            save(tmp_path, step, *divmod(step // 4 * 3 + min(step % 4, 2), 3))
            os.write(told, step.to_bytes(4, "big"))

    chance = random.Random(1)
    last = 0
    for _ in range(rounds(10, 100)):
        listen, told = os.pipe()
        pid = in_child(save_on)
        os.close(told)
        begun = os.read(listen, 4)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        assert exit_code(pid) == -signal.SIGKILL
        with open(listen, "rb") as heard:
            said = begun + heard.read()
        found = resumed(tmp_path).step
        assert int.from_bytes(said[-4:], "big") <= found, "what was said to be saved is there"
        last = found


def new(run_folder: Path) -> None:
    save(run_folder, 3, 2)


def replaced(run_folder: Path) -> None:
    save(run_folder, 2, 1)


def after_the_middle_of_an_epoch(run_folder: Path) -> None:
    save(run_folder, 2, 1, 1)
    save(run_folder, 3, 2)


def overwritten(run_folder: Path) -> None:
    start(small_state(), run_folder, options(run_folder, resume="never", overwrite=True))


@pytest.mark.parametrize(
    ("work", "steps"),
    [(new, {1, 3}), (replaced, {1, 2}), (after_the_middle_of_an_epoch, {1, 2, 3}), (overwritten, {0, 1})],
)
def test_killed_before_any_of_its_file_operations_a_writer_leaves_whole_checkpoints(tmp_path, work, steps):
    seen = set()
    for number in itertools.count(1):
        run_folder = tmp_path / str(number)
        save(run_folder, 1, 1)
        pid = in_child(lambda: (kill_before(number), work(run_folder)))  # noqa: B023
        code = exit_code(pid)
        seen.add(resumed(run_folder).step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert number > 5 and seen == steps


def test_what_a_killed_writer_moved_aside_comes_back(tmp_path):
    save(tmp_path, 1, 1)
    folder = tmp_path / "checkpoints/epoch_1"
    folder.rename(folder.with_name(".epoch_1.123.old.tmp"))
    folder.with_name(".epoch_1.123.tmp").mkdir()
    assert resumed(tmp_path).epoch == 1


def kill_before(number: int) -> None:
    """Let this process be killed before the so many-th thing it does to files of a checkpoint."""
    left = itertools.count(number - 1, -1)

    def look(event: str, words: tuple) -> None:
        touching = event in TOUCHING or (event == "open" and "/checkpoints/" in str(words[0]))
        if touching and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


@pytest.fixture
def two(tmp_path) -> Path:
    """A run folder with epoch_1 and epoch_2."""
    for number in (1, 2):
        save(tmp_path / "run", number, number)
    return tmp_path / "run"


def newest_is_refused(run_folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> bool:
    caplog.clear()
    state = small_state()
    start(state, run_folder, options(run_folder))
    return state.step == 1 and f"epoch_2/{name}: damaged" in caplog.text and "the checkpoint before it" in caplog.text


def test_every_flipped_bit_is_found_and_the_checkpoint_before_it_taken(two, caplog, rounds):
    chance = random.Random(6)
    for name in FILES * rounds(10, 100):
        path = two / "checkpoints/epoch_2" / name
        whole = path.read_bytes()
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        assert newest_is_refused(two, name, caplog), (name, place, bit)
        path.write_bytes(whole)
    assert resumed(two).step == 2


@pytest.mark.parametrize("name", FILES)
def test_every_cut_is_found_and_the_checkpoint_before_it_taken(two, name, caplog):
    path = two / "checkpoints/epoch_2" / name
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert newest_is_refused(two, name, caplog), length
    path.write_bytes(whole + b"\n")
    assert newest_is_refused(two, name, caplog)
    path.unlink()
    caplog.clear()
    state = small_state()
    start(state, two, options(two))
    assert state.step == 1 and name in caplog.text


@pytest.mark.parametrize(
    ("before", "after"),
    [('"epoch": 2', '"epoch": 3'), ('"train_num_epochs": 1000000', '"train_num_epochs": 2000000'), ("1e-05", "1E-05")],
)
def test_notes_that_say_something_else_are_found(two, before, after, caplog):
    path = two / "checkpoints/epoch_2/meta.json"
    state = small_state(2, 2, weight=1e-05)
    state.save(two)
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    assert newest_is_refused(two, "meta.json", caplog)


def test_where_no_checkpoint_is_whole_the_run_is_refused(two):
    for number in (1, 2):
        (two / f"checkpoints/epoch_{number}/optim.pth").unlink()
    with pytest.raises(UserError, match="none of its 2 checkpoints is valid; pass --overwrite"):
        resumed(two)


def test_a_flipped_bit_in_a_file_without_notes_is_found(tmp_path, rounds):
    path = tmp_path / "model.pth"
    torch.save({"a": torch.rand(64, 64)}, path)
    whole = path.read_bytes()
    begin = whole.index(torch.load(path)["a"].numpy().tobytes())
    chance = random.Random(7)
    for _ in range(rounds(20, 200)):
        place = begin + chance.randrange(64 * 64 * 4)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
        with pytest.raises(UserError, match="data/0 has another checksum"):
            read_state_dict(path)


@pytest.mark.parametrize("name", ["model.pth", "meta.json"])
def test_evaluation_and_inference_refuse_a_damaged_checkpoint(two, name, street, tmp_path, warm):
    folder = two / "checkpoints/epoch_2"
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    commands = [
        warm(
            "eval_depth.py",
            "--sys-cpu",
            "--dataset-dir",
            street,
            "--checkpoint-dir",
            tmp_path,
            "--model-load",
            folder,
            "--depth-validation-loaders",
            "kitti_kitti_validation",
        ),
        warm(
            "inference.py",
            "--sys-cpu",
            "--model-path",
            folder / "model.pth",
            "--output-path",
            tmp_path / "out",
            "--image-path",
            next(street.rglob("image_02/data/*.*")),
        ),
    ]
    for command in commands:
        assert command.wait() == 2
        assert len(command.stderr.splitlines()) == 1 and f"{folder / name}: damaged" in command.stderr
