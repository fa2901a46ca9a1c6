"""Leaving out images in which dynamic classes (cars, people ...) really move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import processes


class DynamicClassMask:
    """Compares dynamic-class pixels of a frame with those its neighbours predict for it.

    Where depth and motion carry a neighbour's cars onto the target's cars, the cars stand still (IoU near 1) and may
    train the depth. Images whose IoU is below the threshold lose all pixels of dynamic classes. The threshold is a
    percentile of the previous epoch's IoUs in all processes.  Source: SGDepth (arXiv 2007.06936), section 3.4,
    eq. 8 to 10.

    Args:
        from_epoch: first epoch that collects statistics (epochs count from 0); masking starts in the next.
        epochs: number of epochs of the run.
        linear_increase: percentile 1 - (e + 1 - from_epoch) / (epochs - 1 - from_epoch) after epoch e.
        fraction: percentile where `linear_increase` is off.
        classes: train ids that may move.
    """

    def __init__(self, from_epoch: int, epochs: int, linear_increase: bool, fraction: float,
                 classes: Sequence[int] = tuple(range(11, 20))):  # fmt: skip
        self.from_epoch, self.epochs = from_epoch, epochs
        self.linear_increase, self.fraction = linear_increase, fraction
        self.threshold = 0.0
        self._moving = torch.zeros(256, dtype=torch.bool)
        self._moving[list(classes)] = True
        self._ious: list[Tensor] = []
        self._masked: list[Tensor] = []
        self._unfinished = 0  # notes since the last step, at the end of both lists

    def active(self, epoch: int) -> bool:
        """True from the epoch on that collects statistics."""
        return epoch >= self.from_epoch

    def begin_epoch(self) -> None:
        """Forget the statistics of the epoch before; the threshold stays."""
        self._ious, self._masked, self._unfinished = [], [], 0

    def __call__(self, target: Tensor, warped: Sequence[Tensor]) -> Tensor:
        """Pixels that count, and a note of the IoU of each sample.

        Shapes:  target (B, H, W) class ids of the frame; warped: the same of each neighbour in the target view.
        Returns: (B, H, W) bool, False where a dynamic object is masked.
        """
        if self._moving.device != target.device:
            # What a checkpoint brought back lies on the CPU until the first batch shows where the run computes.
            self._moving = self._moving.to(target.device)
            self._ious = [iou.to(target.device) for iou in self._ious]
            self._masked = [share.to(target.device) for share in self._masked]
        here = self._moving[target.long()]
        there = [self._moving[ids.long()] for ids in warped]
        common = sum(((here & moving).sum((1, 2)) for moving in there), start=0)
        either = sum(((here | moving).sum((1, 2)) for moving in there), start=0)
        iou = common.double() / either  # NaN where nothing is dynamic: neither noted nor masked
        drop = torch.stack([here, *there]).any(0) & (iou < self.threshold)[:, None, None]
        self._ious.append(iou)
        self._masked.append(drop.float().mean())
        self._unfinished += 1
        return ~drop

    def after_step(self, bad: Tensor | float) -> None:
        """Notes since the last step stay, but for those of a step that was left out (`bad` is 1)."""
        for notes in (self._ious, self._masked):
            for place in range(len(notes) - self._unfinished, len(notes)):
                notes[place] = torch.where(torch.as_tensor(bad) > 0, torch.nan, notes[place])
        self._unfinished = 0

    def drop_unfinished(self) -> None:
        """Forget the notes since the last step."""
        for notes in (self._ious, self._masked):
            del notes[len(notes) - self._unfinished :]
        self._unfinished = 0

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Set the threshold of the next epoch; numbers for the log (reads the device once)."""
        ious, masked = self.ious(), self._of_all(self._masked)
        masked = masked[~masked.isnan()]
        percentile = self._percentile(epoch)
        usable = len(ious) > 0 and 0 <= percentile <= 1
        self.threshold = float(np.percentile(ious, 100 * percentile)) if usable else 0.0
        return {"threshold": self.threshold, "mean_iou": float(ious.mean()) if len(ious) else float("nan"),
                "masked_share": float(masked.mean()) if len(masked) else 0.0}  # fmt: skip

    def ious(self) -> np.ndarray:
        """IoU of every sample of this epoch that holds dynamic classes, float64, in order, process by process."""
        found = self._of_all(self._ious).numpy()
        return found[~np.isnan(found)]

    def _percentile(self, epoch: int) -> float:
        if not self.linear_increase:
            return self.fraction
        span = self.epochs - 1 - self.from_epoch
        return 1 - (epoch + 1 - self.from_epoch) / span if span > 0 else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Threshold and the statistics of the running epoch, for the checkpoint; all processes must ask for it."""
        return {"threshold": self.threshold, "ious": self._of_all(self._ious), "masked": self._of_all(self._masked)}

    @staticmethod
    def _of_all(values: Sequence[Tensor]) -> Tensor:
        mine = torch.cat([value.flatten() for value in values]) if values else torch.zeros(0, dtype=torch.float64)
        return processes.gather(mine)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.threshold = float(state.get("threshold", 0.0))
        if not processes.first():
            state = {}  # the statistics are those of all, and count once
        device = self._moving.device
        self._ious = [state["ious"].to(device)] if len(state.get("ious", ())) else []
        self._masked = list(state["masked"].to(device)) if len(state.get("masked", ())) else []
