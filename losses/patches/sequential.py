"""The published way to blend patches: one over the other, in a fixed order. Slow, and kept for comparisons only."""

from __future__ import annotations

import torch
from torch import Tensor

from .fusion import fitted_patches, soft_mask
from .scales import squared_distance
from .selection import Patches

_UPPER = 40  # patches that begin above this row are blended with a Gaussian, the others with a ramp


def blend_sequentially(groups: list[tuple[Patches, list[Tensor]]], disp: Tensor) -> tuple[list[Tensor], Tensor]:
    """Lay patches over each other, the last of the list first.

    Where a patch meets earlier ones it counts with a ramp from left to right, or with a Gaussian in the upper rows.
    Patches whose last column is free leave the earlier ones as they are; there the published code is undefined.

    Args:
        groups: patches and the estimates (P, s, s) of every source; one group per size, largest first.
        disp: (B, 1, H, W).

    Returns:
        map (B, H*W) of every source; (B, H*W) bool, where there is one.
    """
    batch, _, height, width = disp.shape
    sources = len(groups[0][1]) if groups else 1
    maps = torch.zeros(sources, batch, height, width, device=disp.device)
    covered = torch.zeros(batch, height, width, dtype=torch.bool, device=disp.device)
    for patches, estimates in reversed(groups):
        fitted = torch.stack([fitted_patches(patches, disp, estimate)[0] for estimate in estimates])
        corners = torch.stack((patches.image, patches.y, patches.x), 1).tolist()
        for number in range(len(patches) - 1, -1, -1):
            image, y, x = corners[number]
            place = (image, slice(y, y + patches.size), slice(x, x + patches.size))
            before = covered[place]
            weight = torch.where(before, _overlap(before, y), 1.0)
            maps[:, *place] = torch.lerp(maps[:, *place], fitted[:, number], weight)
            covered[place] = True
    return list(maps.flatten(2)), covered.flatten(1)


def _overlap(before: Tensor, y: int) -> Tensor:
    """Weight of a new patch where there are earlier ones: (s, s) bool -> (s, s)."""
    size = before.shape[0]
    if y <= _UPPER:
        whole = size + size // 4
        return soft_mask(whole, whole)[-size:, -size:].to(before.device)
    last = torch.zeros_like(before)
    last[:, -1] = before[:, -1]
    if not bool(last.any()):
        return torch.zeros_like(before, dtype=torch.float32)
    ramp = 1 + squared_distance(last[None])[0].sqrt()
    return ramp / (ramp * before).max().clamp(min=1)
