"""Pictures of bytes in another size, as Pillow makes them, on any device."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

PRECISION = 22
"""Bits behind the point of Pillow's weights."""
_LOBES = 3  # of LANCZOS


def bilinear_levels(levels: Tensor, size: tuple[int, int]) -> Tensor:
    """What Pillow's antialiased BILINEAR makes of bytes, to the bit: in whole numbers, as Pillow counts.

    Along the rows first, then along the columns, rounded to whole levels after each. Pillow 13 takes the columns first
    where that is less work: where the height shrinks far more than the width.

    Shapes:  levels (B, C, H, W) integers of 0 to 255; size (height, width).    Returns: (B, C, height, width) int32.
    """
    levels = levels.int()
    for axis, after in ((3, size[1]), (2, size[0])):
        if levels.shape[axis] != after:
            levels = _along(levels, axis, after)
    return levels


def _along(levels: Tensor, axis: int, after: int) -> Tensor:
    """The same along one axis."""
    places, weights = (torch.from_numpy(table).to(levels.device) for table in _taps(levels.shape[axis], after))
    total = torch.full((), 1 << (PRECISION - 1), dtype=torch.int32, device=levels.device)  # rounds
    shape = (-1, 1) if axis == 2 else (-1,)
    for place, weight in zip(places, weights, strict=True):
        total = total + levels.index_select(axis, place) * weight.view(shape)
    return (total >> PRECISION).clamp(0, 255)


@cache
def _taps(before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that each new one is made of, and their weights: (taps, after) int64 and int32.

        w = 1 - |x| where |x| < 1, else 0;   x = distance of the centres / max(before / after, 1)

    Weights of a pixel sum to 1 before they are rounded.  Source: Pillow, Resample.c.
    """
    step = before / after
    reach = max(step, 1.0)
    centre = (np.arange(after) + 0.5) * step
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + reach + 0.5).astype(np.int64), before)
    places = first + np.arange((end - first).max())[:, None]  # (taps, after)
    weights = np.maximum(1 - np.abs((places - centre + 0.5) / reach), 0) * (places < end)
    rounded = (weights / weights.sum(0) * (1 << PRECISION) + 0.5).astype(np.int32)
    return np.minimum(places, before - 1), rounded


@torch.no_grad()
def lanczos(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Images in another size, within one of 255 levels of what Pillow's LANCZOS makes of the same bytes.

    Along the rows, then along the columns, rounded to whole levels after each. Pillow 13 takes the columns first
    where that is less work, earlier ones never do; landscape images that are halved it treats as here.

    Shapes:  image (B, C, H, W) in [0, 1]; size (height, width).    Returns: (B, C, height, width), no gradient.
    """
    height, width = image.shape[-2:]
    if size[1] != width:
        image = _levels(image @ lanczos_matrix(width, size[1], image).T)
    if size[0] != height:
        image = _levels(lanczos_matrix(height, size[0], image) @ image)
    return image


def lanczos_matrix(before: int, after: int, like: Tensor) -> Tensor:
    """Weights of `before` pixels in each of `after`, (after, before), of the type and device of `like`.

        w = sinc(x) sinc(x / 3) where |x| < 3, else 0;   x = distance of the centres / max(before / after, 1)

    Rows sum to 1: at the border the pixels there are share the weight of those that are not.  Source: Pillow.
    """
    step = before / after
    reach = max(step, 1.0)
    pixels = torch.arange(max(before, after), dtype=torch.float64, device=like.device) + 0.5
    x = (pixels[:before] - step * pixels[:after, None]) / reach
    weights = torch.where(x.abs() < _LOBES, torch.sinc(x) * torch.sinc(x / _LOBES), 0.0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


def _levels(image: Tensor) -> Tensor:
    return (image * 255).round().clamp(0, 255) / 255
