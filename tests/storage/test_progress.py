"""Progress of long work in a log and in a terminal."""

from __future__ import annotations

import itertools
import sys

import pytest

from storage.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Four seconds pass whenever somebody looks."""
    monkeypatch.setattr("time.perf_counter", itertools.count(0, 4).__next__)


def test_a_log_gets_a_line_every_ten_seconds(clock, capsys):
    assert list(Progress(iter("abcdefgh"), "frames", "clip", 8)) == [*"abcdefgh"]
    assert capsys.readouterr().err == (
        "clip: 3/8 frames, 0.25 frames/s, 0:00:20 left\nclip: 6/8 frames, 0.25 frames/s, 0:00:08 left\n"
    )


def test_where_nobody_knows_how_many_there_will_be_the_rest_is_not_told(clock, capsys):
    with Progress(unit="frames") as bar:
        for _ in range(3):
            bar.update(2)
    assert capsys.readouterr().err == "6 frames, 0.5 frames/s\n"


def test_others_say_nothing(clock, capsys):
    assert list(Progress(range(9), "frames", shown=False)) == [*range(9)]
    assert not capsys.readouterr().err


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(Progress(range(3), "frames", "clip", 3)) == [0, 1, 2]
    assert "clip:" in (said := capsys.readouterr().err) and "3/3" in said
