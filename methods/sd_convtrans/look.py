"""What is asked about a batch on logging steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visual.panels import measured_panel


@dataclass(frozen=True)
class Seen:
    """Images (B, 3, H, W), predicted base and full depth, and the target of the latter; see `engine.outcome.Look`.

    Depth is in metres and has sizes of its own; in the target 0 is none.
    """

    image: Tensor
    base: Tensor
    full: Tensor
    target: Tensor

    def measures(self) -> dict[str, Tensor]:
        """Mean and standard deviation of the full depth, and the share of the pixels that it is compared at."""
        full = self.full.detach()
        return {"depth_mean": full.mean(), "depth_std": full.std(), "target_share": (self.target > 0).double().mean()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Image, base, full depth and target, one column per sample."""
        size = self.image.shape[2:]
        base, full = (F.interpolate(each.float(), size, mode="bilinear") for each in (self.base, self.full))
        target = F.interpolate(self.target.float(), size)  # the nearest, so that gaps stay gaps
        return {"depth": measured_panel(self.image, (base, full), target)}

    def doubt(self) -> str:
        """A sentence where the depth has collapsed: nearly the same everywhere."""
        mean, std = self.full.detach().mean().item(), self.full.detach().std().item()
        if not std < 0.01 * mean:  # nor where it is NaN, which others tell
            return ""
        return f"the depth looks collapsed (mean {mean:.3f} m, std {std:.3f} m); a lower --train-learning-rate may help"
