"""What both depths are compared with: filled depth and its base, or what was measured, at the size of the outputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dataloader.batch import Batch

Size = tuple[int, int]
ALL = 1 - 1e-4  # share of a new pixel that must be known


class Target(NamedTuple):
    """share (B, 1, h, w): of the largest depth, 0 where there is none; dense (B,) bool: samples without gaps."""

    share: Tensor
    dense: Tensor


def targets(batch: Batch, depth_max: float, base: Size, full: Size) -> tuple[Target, Target]:
    """Targets of base and full depth at their sizes (height, width).

    Of samples without filled depth, or without its base, both are means of what was measured in every cell.
    """
    below = batch.depth if batch.spec.dataset == "kitti" else None
    return (
        _target(batch.base, batch.depth, depth_max, base, below),
        _target(batch.dense, batch.depth, depth_max, full, below),
    )


def _target(dense: Tensor | None, depth: Tensor, depth_max: float, size: Size, below: Tensor | None) -> Target:
    sparse = cell_means(depth, size)
    if dense is None:
        return Target((sparse / depth_max).clamp(0, 1), torch.zeros(len(depth), dtype=torch.bool, device=depth.device))
    there = dense.flatten(1).any(1)
    known = dense > 0
    if below is not None:  # what a laser never hit was extrapolated
        known = known & (below > 0).any(3, keepdim=True).cummax(2).values
    filled = resized_where(dense, known, size)
    return Target((torch.where(there[:, None, None, None], filled, sparse) / depth_max).clamp(0, 1), there)


def resized_where(depth: Tensor, known: Tensor, size: Size) -> Tensor:
    """Antialiased bilinear resizing, as Pillow's of floats; 0 where not all that a new pixel is made of is known.

    Shapes:  depth (B, 1, H, W); known (B, 1, H, W) bool; size (h, w).    Returns: (B, 1, h, w).
    """
    both = torch.cat((depth * known, known.to(depth.dtype)), 1)
    values, share = F.interpolate(both, size, mode="bilinear", align_corners=False, antialias=True).chunk(2, 1)
    return torch.where(share >= ALL, values, torch.zeros_like(values))


def cell_means(depth: Tensor, size: Size) -> Tensor:
    """Mean of what was measured in every cell of a grid, 0 where nothing was: (B, 1, H, W) -> (B, 1, *size)."""
    total, share = (F.adaptive_avg_pool2d(x, size) for x in (depth, (depth > 0).to(depth.dtype)))
    return torch.where(share > 0, total / share.clamp_min(torch.finfo(share.dtype).tiny), torch.zeros_like(total))
