"""Leaving out images in which dynamic classes (cars, people ...) really move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BLOCK = 1024  # numbers there is room for at first


class DynamicClassMask:
    """Compares dynamic-class pixels of a frame with those its neighbours predict for it.

    Where depth and motion carry a neighbour's cars onto the target's cars, the cars stand still (IoU near 1) and may
    train the depth. Images whose IoU is below the threshold lose all pixels of dynamic classes. The threshold is a
    percentile of the previous epoch's IoUs on all ranks.  Source: SGDepth (arXiv 2007.06936), section 3.4,
    eq. 8 to 10.

    Args:
        from_epoch: first epoch that collects statistics (epochs count from 0); masking starts in the next.
        epochs: number of epochs of the run.
        linear_increase: percentile 1 - (e + 1 - from_epoch) / (epochs - 1 - from_epoch) after epoch e.
        fraction: percentile where `linear_increase` is off.
        classes: train ids that may move.
        gather: numbers (N,) of this rank -> those of all ranks (M,), on the CPU.
        is_first: whether this is the rank that keeps the statistics of a checkpoint; they are those of all.
    """

    def __init__(
        self,
        from_epoch: int,
        epochs: int,
        linear_increase: bool,
        fraction: float,
        classes: Sequence[int] = tuple(range(11, 20)),
        gather: Callable[[Tensor], Tensor] = Tensor.cpu,
        is_first: bool = True,
    ):
        self._gather, self._is_first = gather, is_first
        self.from_epoch, self.epochs = from_epoch, epochs
        self.linear_increase, self.fraction = linear_increase, fraction
        self.threshold = 0.0
        self._moving = torch.zeros(256, dtype=torch.bool)
        self._moving[list(classes)] = True
        self._ious, self._masked = _Notes(torch.float64), _Notes(torch.float32)

    def active(self, epoch: int) -> bool:
        """True from the epoch on that collects statistics."""
        return epoch >= self.from_epoch

    def begin_epoch(self) -> None:
        """Forget the statistics of the epoch before; the threshold stays."""
        self._ious, self._masked = _Notes(torch.float64), _Notes(torch.float32)

    def __call__(self, target: Tensor, warped: Sequence[Tensor]) -> Tensor:
        """Pixels that count, and a note of the IoU of each sample.

        Shapes:  target (B, H, W) class ids of the frame; warped: the same of each neighbour in the target view.
        Returns: (B, H, W) bool, False where a dynamic object is masked.
        """
        if self._moving.device != target.device:
            self._moving = self._moving.to(target.device)
        here = self._moving[target.long()]
        there = [self._moving[ids.long()] for ids in warped]
        common = sum(((here & moving).sum((1, 2)) for moving in there), start=0)
        either = sum(((here | moving).sum((1, 2)) for moving in there), start=0)
        iou = common.double() / either  # NaN where nothing is dynamic: neither noted nor masked
        drop = torch.stack([here, *there]).any(0) & (iou < self.threshold)[:, None, None]
        self._ious.add(iou)
        self._masked.add(drop.float().mean())
        return ~drop

    def after_step(self, bad: Tensor | float) -> None:
        """Notes since the last step stay, but for those of a step that was left out (`bad` is 1)."""
        for notes in (self._ious, self._masked):
            notes.settle(bad)

    def drop_unfinished(self) -> None:
        """Forget the notes since the last step."""
        for notes in (self._ious, self._masked):
            notes.drop_unsettled()

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Set the threshold of the next epoch; numbers for the log (reads the device once)."""
        ious, masked = self.ious(), self._gather(self._masked.values())
        masked = masked[~masked.isnan()]
        percentile = self._percentile(epoch)
        usable = len(ious) > 0 and 0 <= percentile <= 1
        self.threshold = float(np.percentile(ious, 100 * percentile)) if usable else 0.0
        return {
            "threshold": self.threshold,
            "mean_iou": float(ious.mean()) if len(ious) else float("nan"),
            "masked_share": float(masked.mean()) if len(masked) else 0.0,
        }

    def ious(self) -> np.ndarray:
        """IoU of every sample of this epoch that holds dynamic classes, float64, in order, rank by rank."""
        found = self._gather(self._ious.values()).numpy()
        return found[~np.isnan(found)]

    def _percentile(self, epoch: int) -> float:
        if not self.linear_increase:
            return self.fraction
        span = self.epochs - 1 - self.from_epoch
        return 1 - (epoch + 1 - self.from_epoch) / span if span > 0 else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Threshold and statistics of the running epoch, for the checkpoint; a collective: all ranks must call it."""
        return {
            "threshold": self.threshold,
            "ious": self._gather(self._ious.values()),
            "masked": self._gather(self._masked.values()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.threshold = float(state.get("threshold", 0.0))
        if not self._is_first:
            state = {}  # the statistics are those of all, and count once
        self.begin_epoch()
        for notes, name in ((self._ious, "ious"), (self._masked, "masked")):
            notes.add(state.get(name, torch.zeros(0)))
            notes.settle(0.0)


class _Notes:
    """Numbers that are noted step by step, on their device, in one block of memory.

    Small tensors of their own, kept for an epoch among large ones that come and go with every step, would scatter over
    the heap of a CPU: in 300 steps a training grew by half.
    """

    def __init__(self, dtype: torch.dtype):
        self._block = torch.zeros(_BLOCK, dtype=dtype)
        self._count = self._settled = 0

    def add(self, values: Tensor) -> None:
        """Note numbers (N,) or one."""
        values = values.detach().flatten()
        end = self._count + len(values)
        if end > len(self._block) or self._block.device != values.device:
            room = self._block.new_zeros(max(0, 2 * end - len(self._block)))
            self._block = torch.cat([self._block, room]).to(values.device)
        self._block[self._count : end] = values
        self._count = end

    def settle(self, bad: Tensor | float) -> None:
        """What was noted since the last time stays; as NaN where `bad` is 1."""
        if self._settled == self._count:  # a block that has seen nothing may be on another device than `bad`
            return
        latest = self._block[self._settled : self._count]
        latest.copy_(torch.where(torch.as_tensor(bad) > 0, torch.nan, latest))
        self._settled = self._count

    def drop_unsettled(self) -> None:
        """Forget what was noted since the last time."""
        self._count = self._settled

    def values(self) -> Tensor:
        """A copy of the notes, (N,)."""
        return self._block[: self._count].clone()
