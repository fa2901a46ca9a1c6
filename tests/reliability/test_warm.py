"""The helper itself: a warm command is the command."""

from __future__ import annotations

from tests.conftest import tiny_options


def test_a_warm_command_does_what_the_command_does(street, tmp_path, warm):
    done = warm.run("train.py", *tiny_options(street, tmp_path))
    assert done.wait() == 0, done.stderr
    assert "epoch 1" in done.stdout
    wrong = warm.run("train.py", "--method", "none")
    assert wrong.wait() == 2 and "error: " in wrong.stderr
