"""How far long work is: a bar in a terminal, a line every ten seconds in a log. Imports no torch."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN = 10.0
"""Seconds between two lines of progress."""
PATIENCE = 2.0
"""Seconds without a bar, where it is one in passing."""


class Progress:
    """Items one by one; tells on stderr how many there were, how fast they come and how long the rest takes.

    items: what the work is done for; none where `update` is told instead
    unit:  what they are, in the plural
    title: put before, where it is given
    total: how many there will be, 0 where nobody knows
    shown: whether anything is told
    passing: of work beside the main one: a bar comes only where it takes long, and goes when it is done
    """

    def __init__(
        self,
        items: Iterable[Any] = (),
        unit: str = "items",
        title: str = "",
        total: int = 0,
        shown: bool = True,
        passing: bool = False,
    ):
        self._items, self.unit, self.title, self.total = items, unit, title, total
        self._silent, self.done = not shown, 0
        self._begun = self._told = time.perf_counter()
        self._bar: tqdm | None = None
        if shown and sys.stderr.isatty():
            manner = {"leave": False, "delay": PATIENCE} if passing else {}
            self._bar = tqdm(total=total or None, desc=title or None, unit=f" {unit}", file=sys.stderr, **manner)

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self._items:
                yield item
                self.update()
        finally:
            self.close()

    def close(self) -> None:
        """Leave the line to others."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, count: int = 1) -> None:
        """So many more are done; for work that is no iteration."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.perf_counter()
        if not self._silent and now - self._told >= SECONDS_BETWEEN:
            self._told = now
            with contextlib.suppress(OSError):  # the reader of a pipe may be gone
                print(self._line(now - self._begun), file=sys.stderr, flush=True)

    def _line(self, spent: float) -> str:
        words = [f"{self.done}/{self.total} {self.unit}" if self.total else f"{self.done} {self.unit}"]
        words.append(f"{self.done / spent:.3g} {self.unit}/s")
        if self.total >= self.done:
            words.append(f"{timedelta(seconds=round(spent / self.done * (self.total - self.done)))} left")
        return (f"{self.title}: " if self.title else "") + ", ".join(words)
