"""Closed streams and few open files, in interpreters of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

WRITES = """
import os, subprocess, sys
from storage import descriptors
descriptors.prepare()
with open(sys.argv[1], "w") as file:
    assert file.fileno() > 2
    print("lost"), print("lost", file=sys.stderr), sys.stdin.read()
    subprocess.run([sys.executable, "-c", "import sys; print(1); print(2, file=sys.stderr)"], check=True)
    file.write("kept")
"""


def shell(line: str, *words: object) -> subprocess.CompletedProcess:
    """A line of a shell, in which "$@" stands for the interpreter and the words."""
    command = ["sh", "-c", line, "sh", sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_missing_streams_are_the_null_device_here_and_in_children(tmp_path, closed):
    assert shell(f'"$@" {closed}', "-c", WRITES, tmp_path / "file").returncode == 0
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("eval_depth.py", "--help"), 0),
        (("eval_depth.py", "--no-such-option"), 2),
        (("-m", "dataloader.check", "kitti_zhou_train", "--dataset-dir", "nowhere"), 2),
        (("-m", "dataloader.prepare", "splits", "--help"), 0),
    ],
)
def test_commands_keep_their_exit_code_without_streams(words, code):
    assert shell('"$@" <&- >&- 2>&-', *words).returncode == code


def test_the_soft_limit_on_open_files_is_raised_to_the_hard_one():
    line = 'ulimit -Sn 40; ulimit -Hn 100; "$@"'
    found = shell(line, "-c", "from storage import descriptors as d; d.prepare(); print(d.limit())")
    assert found.stdout == "100\n", found.stderr
