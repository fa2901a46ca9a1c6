"""From losses to weights: gradients of several batches, steps of the optimiser, the learning rate at the start."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from errors import UserError

from .device import gradient_scaler
from .finite import are_finite
from .optimizer import Schedule, build_optimizer, build_rule


class Updates:
    """From losses to weights: backward passes, gradients of several batches added up, steps of the optimiser.

    A step whose gradients are not all finite is not taken; the device decides that, and nobody waits for it.

    Args:
        optimizer: a fused one.
        schedule: sets its learning rate.
        scaler: enlarges losses where gradients are kept in float16, else does nothing.
        accumulate: batches per optimiser step; the last ones of an epoch may be fewer.
        batches: batches per epoch.

    Attributes:
        finite: (P,) bool, whether the gradients of the newest step are finite, in the order of the parameters that
            have one; None where the scaler looks after them.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        scaler: torch.amp.GradScaler,
        *,
        accumulate: int = 1,
        batches: int = 1,
    ):
        self.optimizer, self.schedule, self.scaler = optimizer, schedule, scaler
        self.accumulate, self.batches = accumulate, batches
        self.finite: Tensor | None = None
        self._begin = self._pending = self._steps = 0
        self._first_scale = 0.0

    def begin_epoch(self, batch: int) -> None:
        """Count groups of batches from this one of the epoch."""
        self._begin, self._pending = batch, 0
        if not self._steps:
            self._first_scale = self.scaler.get_scale()

    def check(self) -> None:
        """Look whether float16 can hold the gradients at all; waits for the device.

        Raises:
            UserError: when it cannot even where losses are not enlarged.
        """
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
            raise UserError(
                "--train-precision fp16: the gradients overflow or are NaN in every step, and "
                "nothing is learned; go on from an earlier checkpoint with bf16 or fp32, or a lower "
                "--train-learning-rate"
            )

    def require_some(self) -> None:
        """Check that float16 could hold the gradients of some step; waits for the device.

        Raises:
            UserError: when the scale fell with every single step, so that each was left out.
        """
        if not (self.scaler.is_enabled() and self._steps):
            return
        if self.scaler.get_scale() <= self._first_scale * self.scaler.get_backoff_factor() ** self._steps:
            raise UserError(
                f"--train-precision fp16: the gradients of all {self._steps} steps overflowed and were left out; "
                "nothing was learned; train for more steps, or take bf16 or fp32"
            )

    @property
    def parts(self) -> dict[str, torch.amp.GradScaler]:
        """What checkpoints hold."""
        return {"scaler": self.scaler} if self.scaler.is_enabled() else {}

    def __call__(self, total: Tensor, epoch: int, batch: int) -> bool:
        """Take the loss of a batch of an epoch. True if weights changed."""
        size = self._group_size(batch)
        if self._pending == 0:
            self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total / size if size > 1 else total).backward()
        if self._has_more(batch):
            self._pending += 1
            return False
        self._pending = 0
        if not self.scaler.is_enabled():
            self.finite = are_finite(
                p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None
            )
            self.optimizer.found_inf = (~self.finite.all()).float()  # fused optimisers skip the step where it is 1
        self._steps += 1
        self.schedule.set(epoch, batch // self.accumulate, warm=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return True

    def _group_size(self, batch: int) -> int:
        """Number of batches in the group of this one."""
        return min(self.accumulate, self.batches - (batch - self._index_in_group(batch)))

    def _has_more(self, batch: int) -> bool:
        """Whether its group has more batches after this one."""
        return self._index_in_group(batch) + 1 < self._group_size(batch)

    def collecting(self, network: nn.Module, batch: int) -> contextlib.AbstractContextManager:
        """Context for the passes of a batch: only the last of a group all-reduces the gradients."""
        alone = not hasattr(network, "no_sync") or not self._has_more(batch)
        return contextlib.nullcontext() if alone else network.no_sync()

    def _index_in_group(self, batch: int) -> int:
        """Number of batches before this one in its group."""
        return (batch - self._begin) % self.accumulate

    @property
    def unfinished(self) -> int:
        """Number of batches whose gradients no optimiser step has seen."""
        return self._pending


def build_updates(args: Namespace, groups: Sequence[dict[str, Any]], device: torch.device) -> Updates:
    """What ``--train-optimizer`` and the other options of training make of parameter groups."""
    optimizer = build_optimizer(args, groups)
    return Updates(
        optimizer,
        Schedule(optimizer, build_rule(args)),
        gradient_scaler(args, device),
        accumulate=args.train_accumulate,
        batches=args.train_batches_per_epoch,
    )
