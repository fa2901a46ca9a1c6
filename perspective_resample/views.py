"""All views a training step compares: every source frame at every resolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .depth import disp_to_depth
from .warp import sampling_grid, warp


@dataclass(frozen=True)
class Views:
    """The target frame as its neighbours show it.

    `depth` (R*B, 1, H, W) metres up to scale, resolutions one after the other, finest first; `grid[f]`
    (R*B, H, W, 2) in [-1, 1]; `color[f]` (R*B, 3, H, W) in [0, 1], source frame f seen from the target camera.
    """

    depth: Tensor
    grid: dict[int, Tensor]
    color: dict[int, Tensor]


def full_size_disparity(disp: dict[int, Tensor]) -> Tensor:
    """Disparities of all resolutions enlarged to the finest, (R*B, 1, H, W), finest first."""
    size = disp[0].shape[-2:]
    enlarged = [
        disp[r] if r == 0 else F.interpolate(disp[r], size, mode="bilinear", align_corners=False) for r in sorted(disp)
    ]
    return torch.cat(enlarged)


def synthesise(
    disp: dict[int, Tensor],
    motion: dict[int, Tensor],
    images: dict[int, Tensor],
    K: Tensor,
    inv_K: Tensor,
    depth_min: float,
    depth_max: float,
) -> Views:
    """Warp all neighbours at once into the target view, with the depth of every resolution at full size.

    Shapes:  disp[r] (B, 1, H/2^r, W/2^r) in (0, 1); motion[f] (B, 4, 4), target to frame f;
             images[f] (B, 3, H, W) in [0, 1]; K, inv_K (B, 4, 4) in pixels.
    """
    depth = disp_to_depth(full_size_disparity(disp), depth_min, depth_max)
    if not motion:
        return Views(depth, {}, {})
    grid = sampling_grid(depth, K, inv_K, torch.stack([*motion.values()]))  # (F, R*B, H, W, 2)
    color = warp(torch.stack([images[frame] for frame in motion]), grid)
    return Views(depth, *(dict(zip(motion, found.unbind(), strict=True)) for found in (grid, color)))


def warp_labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Class ids of a neighbour in the target view, nearest pixel: (B, H, W) any dtype -> (B, H, W) same dtype.

    `grid` is that of the finest resolution, (B, H, W, 2). Carries no gradient.
    """
    with torch.no_grad():
        found = warp(labels.unsqueeze(1).to(grid.dtype), grid, mode="nearest")
        return found.squeeze(1).to(labels.dtype)
