"""What is asked about a batch on logging steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.metric.look import Seen
from visual.panels import error_panel, measured_panel


@dataclass(frozen=True)
class SeenLayers(Seen):
    """The base (B, 1, h, w) besides, and what depth was compared with, at its size; metres, 0 = none."""

    base: Tensor
    target: Tensor

    def measures(self) -> dict[str, Tensor]:
        """As `Seen`, and the share of the pixels of the depth that were compared."""
        return super().measures() | {"compared": (self.target > 0).float().mean()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """The larger picture, its base, its depth, and what that was compared with; the relative error of the depth."""
        image = self.batch.inputs[0]
        size = image.shape[2:]
        base, depth = (F.interpolate(each.float(), size, mode="bilinear") for each in (self.base, self.depth))
        target = F.interpolate(self.target, size)
        return {"images": measured_panel(image, target, base, depth), "error": error_panel(image, target, depth)}
