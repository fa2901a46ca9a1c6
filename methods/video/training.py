"""What a training step is for methods that learn from video."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from engine import ranks
from engine.outcome import Outcome
from losses.depth import DepthLoss
from losses.masking import DynamicClassMask
from perspective_resample.views import synthesise

from .schedule import Schedule
from .step import again, compare


class VideoTraining:
    """Training of a network that predicts disparity and motion, and perhaps classes; see `methods.method.Training`.

    Args:
        network: as `models.sgdepth.SGDepth`; all its parameters learn alike.
        objective: losses, on the device of the network: `losses.objective.Objective`; a subclass has its own.
        schedule: what begins and ends as the epochs pass.
        autocast: makes the context in which networks compute.
        compiled: compile losses and views with torch.compile.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: nn.Module,
        schedule: Schedule,
        autocast: Callable[[], AbstractContextManager],
        compiled: bool = False,
    ):
        self.objective, self.schedule, self.autocast = objective, schedule, autocast
        views = synthesise
        if compiled:
            objective.compile(dynamic=False)
            views = torch.compile(synthesise, dynamic=False)
        low, high = network.depth_range
        self.resample = partial(views, depth_min=low, depth_max=high)
        self.groups: list[dict[str, Any]] = [{"params": list(network.parameters())}]
        self.parts = schedule.parts

    def begin_epoch(self, epoch: int, batch: int) -> None:
        """Start an epoch, or go on inside it."""
        if batch:
            self.schedule.go_on(epoch)
        else:
            self.schedule.begin_epoch(epoch)

    def step(self, network: nn.Module, batches: Sequence[Batch], epoch: int, batch: int) -> list[Outcome]:
        """Forward pass and losses, one outcome per data set."""
        phase = self.schedule.phase(epoch, batch)
        return compare(network, self.objective, batches, self.resample, self.autocast, phase)

    def again(self, network: nn.Module, batches: Sequence[Batch], found: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """A step that was kept: with the masks and targets of then, `Outcome.found` of every data set."""
        phase = replace(again(found), lesson=self.schedule.lesson_again(found))
        return compare(network, self.objective, batches, self.resample, self.autocast, phase)

    def after_step(self, bad: Tensor) -> None:
        """The weights have changed; not where `bad` is 1."""
        self.schedule.after_step(bad)

    def drop_unfinished(self) -> None:
        """Forget the batches since the last step of the optimiser."""
        self.schedule.drop_unfinished()

    def end_epoch(self, epoch: int) -> dict[str, dict[str, float]]:
        """Close an epoch; statistics of the masking where there is one."""
        found = self.schedule.end_epoch(epoch)
        return {"masking": found} if found else {}


def depth_loss(args: Namespace, **more: Any) -> DepthLoss:
    """Photometric loss of the options; `more` goes to `DepthLoss` as it is."""
    return DepthLoss(
        smoothness=args.depth_disparity_smoothness,
        automasking=not args.depth_disable_automasking,
        average=args.depth_avg_reprojection,
        **more,
    )


def moving_objects(args: Namespace) -> DynamicClassMask | None:
    """Masking of moving objects, or None where it is off."""
    if not args.masking_enable:
        return None
    return DynamicClassMask(
        from_epoch=args.masking_from_epoch,
        epochs=args.train_num_epochs,
        linear_increase=args.masking_linear_increase,
        fraction=args.moving_mask_percent,
        classes=args.masking_classes,
        gather=ranks.all_gather,
        is_first=ranks.is_first(),
    )
