"""From losses to weights: gradients of several batches, steps of the optimiser, the learning rate at the start."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from errors import UserError

from .finite import are_finite


class Updates:
    """From losses to weights: backward passes, gradients of several batches added up, steps of the optimiser.

    A step whose gradients are not all finite is not taken; the device decides that, and nobody waits for it.

    Args:
        optimizer: a fused one; its learning rate is that of the schedule, before and after every step.
        scaler: enlarges losses where gradients are kept in float16, else does nothing.
        warmup: optimiser steps over which the learning rate rises.
        accumulate: batches per optimiser step; the last ones of an epoch may be fewer.
        batches: batches per epoch.

    Attributes:
        finite: (P,) bool, gradients of the newest step made of finite numbers, in the order of the parameters that
            have one; None where the scaler looks after them.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        *,
        warmup: int = 0,
        accumulate: int = 1,
        batches: int = 1,
    ):
        self.optimizer, self.scaler = optimizer, scaler
        self.warmup, self.accumulate, self.batches = warmup, accumulate, batches
        self.finite: Tensor | None = None
        self._begin = self._pending = 0

    def begin_epoch(self, batch: int) -> None:
        """Count groups of batches from this one of the epoch."""
        self._begin, self._pending = batch, 0

    def check(self) -> None:
        """Look whether float16 can hold the gradients at all; waits for the device.

        Raises:
            UserError: when it cannot even where losses are not enlarged.
        """
        if self.scaler.is_enabled() and self.scaler.get_scale() < 1:
            raise UserError(
                "--train-precision fp16: the gradients overflow or are no numbers in every step, and "
                "nothing is learned; go on from an earlier checkpoint with bf16 or fp32, or a lower "
                "--train-learning-rate"
            )

    @property
    def parts(self) -> dict[str, torch.amp.GradScaler]:
        """What checkpoints hold."""
        return {"scaler": self.scaler} if self.scaler.is_enabled() else {}

    def __call__(self, total: Tensor, batch: int, step: int) -> bool:
        """Take the loss of one batch; `batch` counts within the epoch, `step` over the run. True if weights changed."""
        together = self._together(batch)
        if self._pending == 0:
            self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total / together if together > 1 else total).backward()
        if self._goes_on(batch):
            self._pending += 1
            return False
        self._pending = 0
        if not self.scaler.is_enabled():
            self.finite = are_finite(
                p.grad for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None
            )
            self.optimizer.found_inf = (~self.finite.all()).float()  # fused optimisers skip the step where it is 1
        with warmed_up(self.optimizer, step // self.accumulate, self.warmup):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        return True

    def _together(self, batch: int) -> int:
        """Number of batches in the group of this one."""
        return min(self.accumulate, self.batches - (batch - self._place(batch)))

    def _goes_on(self, batch: int) -> bool:
        """Whether its group has more batches after this one."""
        return self._place(batch) + 1 < self._together(batch)

    def collecting(self, network: nn.Module, batch: int) -> contextlib.AbstractContextManager:
        """Context for the passes of a batch: only with the last of a group do processes exchange gradients."""
        alone = not hasattr(network, "no_sync") or not self._goes_on(batch)
        return contextlib.nullcontext() if alone else network.no_sync()

    def _place(self, batch: int) -> int:
        """Number of batches before this one in its group."""
        return (batch - self._begin) % self.accumulate

    @property
    def unfinished(self) -> int:
        """Number of batches whose gradients no optimiser step has seen."""
        return self._pending


@contextlib.contextmanager
def warmed_up(optimizer: torch.optim.Optimizer, step: int, steps: int) -> Iterator[None]:
    """Scale the learning rate inside by (step + 1) / steps until it is whole; outside it is that of the schedule."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * min(1.0, (step + 1) / max(steps, 1))
    yield
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
