"""Results of several networks that were judged alike, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from errors import UserError

from .depth import DepthResult
from .overview import latex, markdown, overview

ALIKE = ("ground_truth", "crop", "range", "clamp", "camera")
"""Of a protocol, what must be the same for numbers to be compared."""
SHOWN = ("network", "protocol", "ground_truth", "crop", "range", "scaling", "size", "flip")


@dataclass(frozen=True)
class Comparison:
    """Results by the names of their networks; as text it is a table.

    How predictions were scaled and at which size they were made may differ, and has columns of its own.

    Raises:
        UserError: when there are none, they are of different sets, or they were judged by different truth, window or
            range.
    """

    results: Mapping[str, DepthResult]

    def __post_init__(self) -> None:
        if not self.results:
            raise UserError("compare: nothing to compare; give at least one predictor or result")
        (first, one), *others = self.results.items()
        for name, other in others:
            for what, ours, theirs in _differences(one, other):
                raise UserError(
                    f"{first} and {name}: judged differently, {what} {ours} and {theirs}; evaluate both with the same "
                    "loader and options (depth_gt, depth_crop, depth_cap)"
                )

    def __str__(self) -> str:
        return overview(self._entries(), SHOWN)

    def markdown(self) -> str:
        """The table in Markdown."""
        return markdown(self._entries(), SHOWN)

    def latex(self) -> str:
        """The table in LaTeX."""
        return latex(self._entries(), SHOWN)

    def _entries(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "metrics": result.metrics,
                "images": len(result.names),
                "skipped": result.skipped,
                "protocol": result.protocol,
            }
            for name, result in self.results.items()
        }


def _differences(one: DepthResult, other: DepthResult) -> list[tuple[str, Any, Any]]:
    """What two results were judged by that is not the same, with the values of both."""
    found = [(key.replace("_", " "), one.protocol[key], other.protocol[key]) for key in ALIKE]
    found = [("data set", one.domain, other.domain), *found, ("images", len(one.names), len(other.names))]
    return [each for each in found if each[1] != each[2]]
