"""Network disparity <-> depth."""

from __future__ import annotations

from torch import Tensor


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
