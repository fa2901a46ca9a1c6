"""Signals that ask a training to stop: noted at once, obeyed between two steps, on all ranks after the same step."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, TypeVar

from . import ranks
from .launch import STOPPING, is_ignored

Found = TypeVar("Found")


class Stopped(Exception):
    """Work that may be left undone was given up because the run is to stop."""


class StopRequest:
    """Remembers SIGHUP, SIGINT and SIGTERM so that a loop can stop between two steps; the second one ends at once.

    Use as a context manager: ``with StopRequest() as stop: ... if stop.requested(): save()``. In
    a distributed run further signals are ignored: ``torchrun`` passes on those that a process has got already.
    """

    def __init__(self) -> None:
        self.code = 0
        self._owner, self._parent = os.getpid(), os.getppid()
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in STOPPING:
            if not is_ignored(number):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def requested(self) -> int:
        """Exit code with which all ranks are to stop now, 0 to go on; a collective: all ranks must call it."""
        if ranks.active() and os.getppid() != self._parent:
            self.code = self.code or 128 + signal.SIGTERM  # torchrun was killed
        return ranks.all_reduce_max(self.code)

    def interruptible(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items one by one; raises `Stopped` between two of them once a signal has come."""
        for item in items:
            if self.code:
                raise Stopped
            yield item

    def everywhere(self, work: Callable[[], Found]) -> list[Found]:
        """Results of `work` of all ranks, in their order; raises `Stopped` on all once one has got a signal."""

        def unless_stopped() -> Found | None:
            with contextlib.suppress(Stopped):
                return work()

        found = ranks.gather_results(unless_stopped)
        if self.requested():
            raise Stopped
        return found

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Worker processes inherit the handler; they leave the decision to the process that started them.
        if os.getpid() != self._owner:
            return
        if self.code and not ranks.active():
            os._exit(128 + number)
        self.code = 128 + number
