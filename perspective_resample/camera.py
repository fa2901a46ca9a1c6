"""Pixels, rays and points of a pinhole camera."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Homogeneous centres (x, y, 1) of all pixels, row by row: (3, H*W); integers are pixel centres."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=like.dtype, device=like.device),
        torch.arange(width, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack((x, y, torch.ones_like(x))).flatten(1)


def backproject(depth: Tensor, inv_K: Tensor) -> Tensor:
    """Points seen at each pixel.

    Shapes:  depth (B, 1, H, W) metres; inv_K (B, 4, 4) inverse intrinsics in pixels.
    Returns: (B, 3, H, W) x right, y down, z forward, in the unit of depth.
    """
    batch, _, height, width = depth.shape
    rays = inv_K[:, :3, :3] @ pixel_grid(height, width, depth)  # (B, 3, H*W)
    return rays.view(batch, 3, height, width) * depth


def normals(depth: Tensor, inv_K: Tensor) -> Tensor:
    """Unit surface normals from the right and the lower neighbour of each point.

    Shapes:  depth (B, 1, H, W) metres; inv_K (B, 4, 4).
    Returns: (B, H-1, W-1, 3), length 1 where the surface is not degenerate.
    """
    points = backproject(depth, inv_K)
    right = points[:, :, :-1, 1:] - points[:, :, :-1, :-1]
    down = points[:, :, 1:, :-1] - points[:, :, :-1, :-1]
    normal = torch.linalg.cross(right, down, dim=1)
    return (normal / (normal.norm(dim=1, keepdim=True) + 1e-8)).permute(0, 2, 3, 1)
