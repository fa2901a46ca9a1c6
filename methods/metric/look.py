"""What is asked about a batch with measured depth on logging steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dataloader.batch import Batch
from visual.panels import error_panel, measured_panel

FLAT = 0.03  # standard deviation by mean below which a depth map says nothing


@dataclass(frozen=True)
class Seen:
    """A batch of one data set and the depth (B, 1, H, W) that was predicted; see `engine.outcome.Look`."""

    batch: Batch
    depth: Tensor

    def measures(self) -> dict[str, Tensor]:
        """Mean and standard deviation of the depth in metres, share of the pixels with a measurement."""
        depth = self.depth.detach()
        return {"depth_mean": depth.mean(), "depth_std": depth.std(), "measured": (self.batch.depth > 0).float().mean()}

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """The network's image, its depth, and what was measured; the relative error of the depth."""
        image, truth = self.batch.inputs[0], self.batch.depth
        return {"images": measured_panel(image, truth, self.depth), "error": error_panel(image, truth, self.depth)}

    def doubt(self) -> str:
        """A sentence where the depth is nearly the same everywhere."""
        depth = self.depth.detach()
        mean = depth.mean().item()
        relative = depth.std().item() / max(mean, 1e-12)
        if not relative < FLAT:  # nor where it is NaN, which others tell
            return ""
        return (
            f"the depth looks collapsed (mean {mean:.4g} m, std/mean {relative:.3f}); a lower --train-learning-rate or "
            "--train-warmup-steps helps; look at the pictures whether measurements lie where they belong"
        )
