"""Signals that ask a training to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from engine import ranks
from engine.stopping import Stopped, StopRequest
from tests.conftest import ROOT


def test_first_signal_is_noted_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert stop.code == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_work_between_two_items_stops_after_a_signal():
    seen = []
    with StopRequest() as stop, pytest.raises(Stopped):
        for item in stop.interruptible(range(5)):
            seen.append(item)
            if item == 1:
                os.kill(os.getpid(), signal.SIGTERM)
    assert seen == [0, 1]


def test_work_that_all_processes_share_is_given_up_after_a_signal():
    with StopRequest() as stop:
        assert stop.everywhere(lambda: 1) == [1]
        with pytest.raises(Stopped):
            stop.everywhere(lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped):
            stop.everywhere(lambda: [*stop.interruptible([1])])


def test_second_signal_ends_at_once():
    code = (
        "import os, signal, time\nfrom engine.stopping import StopRequest\nwith StopRequest():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(30)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=20, check=False)
    assert result.returncode == 143


def test_the_signal_of_torchrun_may_follow_that_of_the_user(monkeypatch):
    monkeypatch.setattr(ranks, "active", lambda: True)
    monkeypatch.setattr(ranks, "all_reduce_max", lambda value: value)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.code == 143


def test_processes_whose_torchrun_is_gone_stop_and_save(monkeypatch):
    monkeypatch.setattr(ranks, "active", lambda: True)
    monkeypatch.setattr(ranks, "all_reduce_max", lambda value: value)
    with StopRequest() as stop:
        assert stop.requested() == 0
        monkeypatch.setattr(os, "getppid", lambda: 1)
        assert stop.requested() == 143
