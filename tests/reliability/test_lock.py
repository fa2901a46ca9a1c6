"""A run folder belongs to one training at a time; what a killed one left is no obstacle."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import harness
from errors import UserError
from tests.conftest import tiny_options

pytestmark = pytest.mark.usefixtures("thin")

RUN = "sgdepth_eccv_test/sgdepth_base"


@contextmanager
def holder(folder: Path, inside: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Process id of another process that works in a run folder."""
    listen, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with harness.exclusive(folder):
                inside()
                os.write(told, b"in")
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(listen, 2) == b"in"
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(listen)


def test_the_second_run_is_told_who_works_there_since_when_and_where(tmp_path):
    with holder(tmp_path) as pid:
        since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"
        said = rf"process {pid} on {os.uname().nodename} since {since} trains in this run folder"
        for _ in range(2):
            with pytest.raises(UserError, match=said), harness.exclusive(tmp_path):
                pass
    with harness.exclusive(tmp_path):  # what a killed process left is no obstacle
        pass
    assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} on ")


def test_processes_that_a_killed_training_leaves_behind_do_not_keep_others_out(tmp_path):
    def leave_child() -> None:
        if not os.fork():
            time.sleep(3)
            os._exit(0)

    with holder(tmp_path, leave_child):
        pass
    with harness.exclusive(tmp_path):
        pass


@pytest.mark.parametrize("fault", [errno.ENOLCK, errno.ENOTSUP])
def test_without_locks_a_run_works_and_says_so(tmp_path, monkeypatch, fault, caplog):
    def without(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(fcntl, "lockf", without)
    with harness.exclusive(tmp_path):
        assert "its file system has no locks" in caplog.text


def test_what_lies_in_the_place_of_the_lock_is_not_emptied(tmp_path):
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to(other)
    with pytest.raises(UserError, match="run/.lock: a link"), harness.exclusive(tmp_path / "run"):
        pass
    assert other.read_text() == "precious"
    (tmp_path / ".lock").write_bytes(b"\xff" * 5000)
    with harness.exclusive(tmp_path):
        pass


def test_two_trainings_in_one_folder(street, tmp_path, warm):
    words = tiny_options(street, tmp_path)
    first = warm("train.py", *words, "--train-num-epochs", 500)
    first.until("epoch 1")
    second = warm.run("train.py", *words, "--resume", "auto")
    assert second.wait() == 2 and f"{RUN}: process {first.pid} on " in second.stderr
    assert len(second.stderr.splitlines()) == 1
    first.process.kill()
    first.process.join()
    third = warm.run("train.py", *words, "--resume", "auto", "--train-num-epochs", 1, "--train-batches-per-epoch", 1)
    assert third.wait() == 0, third.stderr
