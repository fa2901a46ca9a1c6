"""Times that are compared are taken in turn, in one run: machines are noisy, and no two are alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Times:
    """What something took, round by round, seconds: on the clock, and of the processors.

    Of child processes those count that have ended.
    """

    wall: tuple[float, ...]
    processor: tuple[float, ...]

    def each(self, count: int) -> Times:
        """Of one of so many things that were done in a round."""
        return Times(*(tuple(value / count for value in values) for values in (self.wall, self.processor)))


@dataclass(frozen=True)
class Ratio:
    """Median of the ratios of all rounds, the least and the most of them."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} [{self.low:.2f}..{self.high:.2f}]"


def in_turn(runs: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, Times]:
    """Every run once per round, A B C A B C: what slows the machine down for a while slows all of them."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(warm_up + rounds):
        for name, run in runs.items():
            taken[name].append(_taken(run))
    columns = {name: tuple(zip(*pairs[warm_up:], strict=True)) for name, pairs in taken.items()}
    return {name: Times(*columns[name]) for name in runs}


def _taken(run: Callable[[], object]) -> tuple[float, float]:
    start, before = time.perf_counter(), _processor_seconds()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, _processor_seconds() - before


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Of two runs, round by round."""
    found = [first / second if second else float("nan") for first, second in zip(above, below, strict=True)]
    return Ratio(median(found), min(found), max(found))


def beside(first: Times, second: Times) -> str:
    """Cell of a table: ratio on the clock and, in processor time, after a stroke."""
    return f"{ratio(first.wall, second.wall)} / {ratio(first.processor, second.processor).middle:.2f}"


def shown(times: Times) -> str:
    """Cell of a table: medians, seconds on the clock and of the processors."""
    return f"{median(times.wall):.3f} / {median(times.processor):.3f}"
