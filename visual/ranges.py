"""Which inverse depth gets the last colour: one for all pictures of a run, or one that follows a film slowly."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .results import Found

LOOKED_AT = 16
"""Images or frames that are looked at first."""
SLOW = 5.0  # seconds in which a film follows two thirds of a change
MOST_KEPT = 1 << 28  # bytes of maps that need not be computed again


@dataclass
class Common:
    """What all pictures of a run have in common, after a look at some of them.

    highest: inverse depth of the last colour, 1/m as far as the network knows; 0: every picture has its own
    found:   what the network saw in these already
    """

    highest: float = 0.0
    found: dict[Path, Found] = field(default_factory=dict)

    def keep(self, path: Path, found: Found) -> None:
        """Keep what the network saw in an image, as long as it is little."""
        if sum(each.values.nbytes for each in self.found.values()) + found.values.nbytes <= MOST_KEPT:
            self.found[path] = found


def spread(paths: Iterable[Path]) -> list[Path]:
    """Some of the paths, at equal distances."""
    paths = [*paths]
    count = min(LOOKED_AT, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


class Smoothed:
    """The largest inverse depth of the frames of a film, so slow that colours do not flicker.

    It begins at the median of some frames, or at the first frame where none were looked at.
    """

    def __init__(self, largest: Iterable[float] = ()):
        self._value, self._before = statistics.median([*largest] or [0.0]), -math.inf

    def __call__(self, largest: float, seconds: float) -> float:
        """For a frame that comes at this time and has this largest value."""
        if not self._value:
            self._value = largest
        elif self._before > -math.inf:
            share = 1 - math.exp((self._before - seconds) / SLOW)
            self._value += min(max(share, 0.0), 1.0) * (largest - self._value)
        self._before = seconds
        return self._value
