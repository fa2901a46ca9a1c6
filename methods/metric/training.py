"""What trainings with measured depth have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from dataloader.batch import Batch
from engine.outcome import Outcome
from methods.video.step import given

from .look import Seen


class MetricTraining:
    """A `methods.method.Training` that keeps nothing between steps; subclasses have `step` and `again`.

    groups:   parameter groups of the optimiser
    autocast: makes the context in which networks compute
    """

    def __init__(self, groups: list[dict[str, Any]], autocast: Callable[[], AbstractContextManager]):
        self.groups, self.autocast = groups, autocast
        self.parts: Mapping[str, Any] = {}

    def begin_epoch(self, epoch: int, batch: int) -> None:
        """Nothing begins."""

    def after_step(self, bad: Tensor) -> None:
        """Nothing depends on it."""

    def drop_unfinished(self) -> None:
        """Nothing is waiting."""

    def end_epoch(self, epoch: int) -> dict[str, dict[str, float]]:
        """Nothing to tell."""
        return {}


def outcome(batch: Batch, depth: Tensor, terms: Mapping[str, Tensor], found: Mapping[str, Any]) -> Outcome:
    """What a run looks at after a step: the loss is the sum of its terms.

    depth: predicted, (B, 1, H, W) metres
    found: what `again` needs
    """
    total = sum(terms.values())
    brought = given(batch) | {"measured depth": batch.depth}
    brought |= {} if batch.dense is None else {"dense depth": batch.dense}
    return Outcome(
        name=batch.spec.domain,
        total=total,
        terms=terms,
        numbers=(brought, {"depth": depth}, {**terms, "loss": total}),
        look=Seen(batch, depth),
        raw=batch.raw,
        found=found,
    )
