"""Patch distillation over a training: who teaches when, and which images may learn from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from perspective_resample.views import Views, synthesise

from ..photometric import Reference, least_error
from .refine import CachedMaps, PatchRefiner, Refined
from .scales import Estimate

log = logging.getLogger(__name__)


class Follower(Protocol):
    """A teacher that follows the network; see `models.self_teacher.SelfTeacher`."""

    ready: bool

    def begin_epoch(self) -> None:
        """An epoch of the range begins."""

    def end_epoch(self, last: bool) -> None:
        """It has ended; `last`: none of the range follows."""

    def after_step(self, bad: Tensor | float = 0.0) -> None:
        """The network has changed; not where `bad` is 1: the step was left out."""

    def __call__(self, image: Tensor) -> Tensor:
        """Disparity of images."""

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""


class PatchDistillation:
    """Refined disparities as targets, in some epochs of a training.

    Args:
        refiner: from selection to fusion.
        self_teacher: the network's own estimate of patches.
        teacher: the frozen second source, or None.
        epochs: first epoch and the one after the last, counted from 0.
        interval: every how many steps.
        gate: use an image only where its refined disparity explains the neighbour frames better.
        depth_range: depth of disparity 1 and 0, metres up to scale.
    """

    def __init__(
        self,
        refiner: PatchRefiner,
        self_teacher: Follower,
        teacher: Estimate | None = None,
        *,
        epochs: tuple[int, int] = (5, 15),
        interval: int = 1,
        gate: bool = True,
        depth_range: tuple[float, float] = (0.1, 100.0),
    ):
        self.refiner, self.self_teacher, self.teacher = refiner, self_teacher, teacher
        self.epochs, self.interval, self.gate, self.depth_range = epochs, interval, gate, depth_range

    def active(self, epoch: int, batch: int) -> bool:
        """Whether step `batch` of an epoch has a patch loss."""
        return self.in_range(epoch) and batch % self.interval == 0

    def in_range(self, epoch: int) -> bool:
        """Whether an epoch has a patch loss."""
        return self.epochs[0] <= epoch < self.epochs[1]

    def begin_epoch(self, epoch: int) -> None:
        """Start an epoch."""
        if self.in_range(epoch):
            self.self_teacher.begin_epoch()

    def go_on(self, epoch: int) -> None:
        """Go on inside an epoch; without the teacher it began with (another kind, say), one is taken now."""
        if self.in_range(epoch) and not self.self_teacher.ready:
            log.warning(
                "the checkpoint holds no teacher for the patches of this epoch; the network as it is now teaches them"
            )
            self.self_teacher.begin_epoch()

    def end_epoch(self, epoch: int) -> None:
        """End an epoch, before its checkpoint is written."""
        self.self_teacher.end_epoch(last=not self.in_range(epoch + 1))

    def after_step(self, bad: Tensor | float = 0.0) -> None:
        """The network has changed; not where `bad` is 1: the step was left out."""
        self.self_teacher.after_step(bad)

    @torch.no_grad()
    def __call__(
        self,
        images: dict[int, Tensor],
        disp: Tensor,
        views: Views,
        motion: dict[int, Tensor],
        camera: tuple[Tensor, Tensor],
        autocast: Callable[[], AbstractContextManager],
        keep: Tensor | None = None,
        cached: Tensor | None = None,
        mirrored: Tensor | None = None,
    ) -> Refined:
        """Refine the disparity of a batch and say where it may teach.

        Args:
            images: frame offset -> (B, 3, H, W) RGB in [0, 1], not jittered.
            disp: (B, 1, H, W) finest disparity of the network.
            views: the neighbours warped with it.
            motion: frame offset -> (B, 4, 4), points of the target camera to that of the frame.
            camera: K and its inverse, (B, 4, 4) each, pixels.
            autocast: makes the context in which teachers compute.
            keep: (B, H, W) pixels that count for depth, or None for all.
            cached: maps of the second teacher (see `CachedMaps`), used instead of it.
            mirrored: (B,) mirrored images; needed with cached answers to the candidates only.
        """
        lookup = None if cached is None else CachedMaps(cached, *disp.shape[2:])
        with autocast():
            refined = self.refiner(
                images[0],
                disp,
                self.self_teacher,
                self.teacher,
                lookup,
                None if lookup is None or lookup.whole else mirrored,
            )
        counted = refined.covered if keep is None else refined.covered & keep.bool()[:, None]
        passed = refined.passed
        if self.gate:
            passed = self._explains_better(refined, counted, images, views, motion, camera)
        return replace(refined, counted=counted & passed[:, None, None, None], passed=passed)

    def _explains_better(
        self,
        refined: Refined,
        counted: Tensor,
        images: dict[int, Tensor],
        views: Views,
        motion: dict[int, Tensor],
        camera: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Images whose neighbours, warped with the refined disparity, look more like the target: (B,) bool.

        Compared where one of the two explains a pixel better than no motion at all.
        """
        reference, batch = Reference.of(images[0]), len(images[0])
        fresh = synthesise({0: refined.disparity}, motion, images, *camera, *self.depth_range).color
        before, after, unmoved = (
            least_error({frame: colors[frame][:batch] for frame in motion}, reference)
            for colors in (views.color, fresh, images)
        )
        compared = counted[:, 0] & (torch.minimum(before, after) < unmoved)
        return torch.where(compared, after, 0).sum((1, 2)) < torch.where(compared, before, 0).sum((1, 2))

    def state_dict(self) -> dict[str, Any]:
        """What a run that stops inside an epoch needs to go on alike."""
        return self.self_teacher.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.self_teacher.load_state_dict(state)
