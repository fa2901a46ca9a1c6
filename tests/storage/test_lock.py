"""Locks of files where the modules of Unix are missing, and what waits for whom."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

from storage.lock import changing, wait_for
from tests.conftest import ROOT

WITHOUT_FCNTL = """
import os, sys
from pathlib import Path
from types import ModuleType

sys.modules["fcntl"] = None  # an import of it fails
held = set()
msvcrt = ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2


def locking(number, mode, count):
    place = os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR)
    if place in held:
        raise PermissionError(13, "Permission denied")
    held.add(place)


msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt

from errors import UserError
from storage.lock import lock, opened

folder = Path(sys.argv[1])
with opened(folder) as first, opened(folder) as second:
    lock(first, folder)
    try:
        lock(second, folder)
    except UserError as error:
        assert f"process {os.getpid()} on " in str(error), error
        print("refused")
"""


def test_without_fcntl_the_locks_of_windows_are_asked(tmp_path):
    command = [sys.executable, "-c", WITHOUT_FCNTL, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and result.stdout == "refused\n", result.stderr


def test_who_waits_is_told_once_and_goes_on_when_the_file_is_closed(tmp_path):
    told: list[int] = []
    waits = threading.Event()

    def tell() -> None:
        told.append(1)
        waits.set()

    def take_after_the_first() -> None:
        with (tmp_path / ".lock").open("a") as file:
            wait_for(file, tell)
            assert first.closed

    with (tmp_path / ".lock").open("a") as first:
        wait_for(first)
        other = threading.Thread(target=take_after_the_first)
        other.start()
        assert waits.wait(10)
    other.join(10)
    assert told == [1] and not other.is_alive()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def test_where_a_file_system_has_no_locks_nobody_waits_and_a_warning_says_so(tmp_path, monkeypatch, code, caplog):
    def without(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", without)
    with (tmp_path / ".lock").open("a") as file:
        wait_for(file)
    with changing(tmp_path / "notes") as waited:
        assert not waited
    said = [record.getMessage().partition(" (")[0] for record in caplog.records]
    assert said == [f"{tmp_path / name}: its file system has no locks" for name in (".lock", ".notes.lock")]
    monkeypatch.setattr(fcntl, "flock", lambda *_: os.stat(tmp_path / "nothing"))
    with (tmp_path / ".lock").open("a") as file, pytest.raises(FileNotFoundError):
        wait_for(file)
