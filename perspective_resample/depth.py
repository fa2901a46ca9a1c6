"""Network disparity <-> depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Known = Literal["metres", "up to scale", "up to scale and shift"]


@dataclass(frozen=True)
class DepthMap:
    """Predicted distance, in the quantity the network was trained in.

    Args:
        values: (B, 1, h, w) float32, > 0 but for relative teachers: depth in metres, or its inverse in 1/m.
        inverse: whether `values` are inverse depth.
        known: how values relate to metres; up to scale and shift: inverse depth of an unknown scale and offset.
    """

    values: Tensor
    inverse: bool
    known: Known

    def at(self, size: tuple[int, int], mode: str = "bilinear") -> DepthMap:
        """Resized to (height, width), in its own quantity: depth of resized inverse depth keeps edges near.

        mode: ``bilinear`` (half-pixel centres), ``corners`` (bilinear, corner pixels on corner pixels) or ``nearest``
              (pixel floor(i * given / wanted), exactly)
        """
        if tuple(self.values.shape[-2:]) == tuple(size):
            return self
        if mode == "nearest":  # the quotient of PyTorch is rounded, so that it misses pixels
            rows, columns = (
                torch.arange(wanted, device=self.values.device) * given // wanted
                for given, wanted in zip(self.values.shape[-2:], size, strict=True)
            )
            return replace(self, values=self.values[..., rows[:, None], columns])
        aligned = mode == "corners"
        return replace(self, values=F.interpolate(self.values, size, mode="bilinear", align_corners=aligned))

    def depth(self) -> Tensor:
        """Depth (B, 1, h, w), in metres as far as `known` says."""
        return 1 / self.values if self.inverse else self.values

    def inverse_depth(self) -> Tensor:
        """Inverse depth (B, 1, h, w), in 1/m as far as `known` says."""
        return self.values if self.inverse else 1 / self.values


def scale_disparity(disp: Tensor, depth_min: float, depth_max: float) -> Tensor:
    """Sigmoid disparity in (0, 1) -> scaled disparity in 1/m, up to the unknown scale of the scene.

        s = 1 / depth_max + (1 / depth_min - 1 / depth_max) * disp

    Any shape. Source: Monodepth2 (arXiv 1806.01260), appendix; SGDepth uses the same map.
    """
    lowest = 1.0 / depth_max
    return lowest + (1.0 / depth_min - lowest) * disp


def disp_to_depth(disp: Tensor, depth_min: float, depth_max: float) -> Tensor:
    """Sigmoid disparity in (0, 1) -> depth in [depth_min, depth_max], metres up to scale. Any shape."""
    return 1.0 / scale_disparity(disp, depth_min, depth_max)
