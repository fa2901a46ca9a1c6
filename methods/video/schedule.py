"""Which losses a step has: what begins and ends as the epochs pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from losses.masking import DynamicClassMask
from losses.patches.distillation import PatchDistillation

from .teaching import Lesson, Teaching


@dataclass(frozen=True)
class Phase:
    """What a step has besides its plain losses; `pauses_patches` where only the steps around it have patches."""

    masking: DynamicClassMask | None = None
    consistency: bool = False
    patches: PatchDistillation | None = None
    pauses_patches: bool = False
    lesson: Lesson | None = None


class Schedule:
    """Masking, consistency, patches and teaching, each in its epochs (counted from 0).

    Args:
        masking: masking of moving objects, or None.
        consistency_from: first epoch of the consistency loss; below 0 for never.
        patches: patch distillation, or None.
        teaching: by a teacher of whole images, or None.
    """

    def __init__(
        self,
        masking: DynamicClassMask | None = None,
        consistency_from: int = -1,
        patches: PatchDistillation | None = None,
        teaching: Teaching | None = None,
    ):
        self.masking, self.consistency_from, self.patches = masking, consistency_from, patches
        self.teaching = teaching

    @property
    def parts(self) -> dict[str, DynamicClassMask | PatchDistillation]:
        """What has a state to be kept in checkpoints, by name."""
        named = {"masking": self.masking, "patches": self.patches}
        return {name: part for name, part in named.items() if part is not None}

    def begin_epoch(self, epoch: int) -> None:
        """Start an epoch."""
        if self.masking:
            self.masking.begin_epoch()
        if self.patches:
            self.patches.begin_epoch(epoch)

    def go_on(self, epoch: int) -> None:
        """Go on inside an epoch, after what is kept in checkpoints was loaded."""
        if self.patches:
            self.patches.go_on(epoch)

    def phase(self, epoch: int, batch: int) -> Phase:
        """What step `batch` of an epoch has."""
        distils = self.patches is not None and self.patches.active(epoch, batch)
        return Phase(
            masking=self.masking if self.masking and self.masking.active(epoch) else None,
            consistency=0 <= self.consistency_from <= epoch,
            patches=self.patches if distils else None,
            pauses_patches=self.patches is not None and self.patches.in_range(epoch) and not distils,
            lesson=self.teaching.lesson(epoch) if self.teaching else None,
        )

    def lesson_again(self, found: Sequence[Mapping[str, Any]]) -> Lesson | None:
        """The lesson of a step that was kept; `found`: `Outcome.found` of every data set."""
        noted = next((one["taught"] for one in found if one.get("taught")), None)
        return self.teaching.again(noted) if self.teaching and noted else None

    def after_step(self, bad: Tensor | float = 0.0) -> None:
        """The network has changed; not where `bad` is 1: the step was left out and leaves no trace."""
        if self.masking:
            self.masking.after_step(bad)
        if self.patches:
            self.patches.after_step(bad)

    def drop_unfinished(self) -> None:
        """Forget the batches since the last step: they will come again."""
        if self.masking:
            self.masking.drop_unfinished()

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Close an epoch, before its checkpoint is written; statistics of the masking for the log, or {}."""
        if self.patches:
            self.patches.end_epoch(epoch)
        return self.masking.end_epoch(epoch) if self.masking and self.masking.active(epoch) else {}
