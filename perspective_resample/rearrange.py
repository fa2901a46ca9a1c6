"""Pixels of every image of a batch at places of its own, without a loop over the images."""

from __future__ import annotations

import torch
from torch import Tensor


def pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels where rows and columns meet: (B, C, H, W), (B, h) and (B, w) whole numbers -> (B, C, h, w)."""
    batch, channels, _, width = images.shape
    places = (rows[:, :, None] * width + columns[:, None]).view(batch, 1, -1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, places).view(batch, channels, rows.shape[1], columns.shape[1])


def permuted_back(images: Tensor, first: Tensor, resolution: int = 0) -> Tensor:
    """Put blocks back that were swapped left with right, and above with below.

    Args:
        images: (B, C, H / 2^resolution, W / 2^resolution)
        first: (B, 2) row and column at which the first pixel of the original lies, at full size
        resolution: 0 for full size
    """
    height, width = images.shape[-2:]
    row, column = (first / 2**resolution).round().long().T[..., None]  # (B, 1)
    rows = (torch.arange(height, device=images.device) + row) % height
    columns = (torch.arange(width, device=images.device) + column) % width
    return pick(images, rows, columns)
