"""Signals that ask a training to stop."""

from __future__ import annotations

import os
import signal

import pytest

from engine import ranks
from engine.stopping import Stopped, StopRequest


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_noted_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.code == 0
        os.kill(os.getpid(), number)
        assert stop.code == 128 + number
    assert signal.getsignal(number) is before


def test_nohup_keeps_its_word_unless_torchrun_would_kill_for_it(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.code == 0
        for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "here")):
            monkeypatch.setenv(name, value)
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.code == 129
    finally:
        signal.signal(signal.SIGHUP, before)


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


def test_second_signal_ends_at_once(warm):
    code = (
        "import os, signal, time\nfrom engine.stopping import StopRequest\nwith StopRequest():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(30)"
    )
    assert warm("-c", code).wait(20) == 143


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
