"""A patch estimated at three scales: fine detail near edges, a wider view away from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
EDGE = 24 / 255
NEAR, FAR = 0.1, 2.0  # of (pixels / edge pixels), in pixels
WEIGHTS = ((0.30, 0.70, 0.00), (0.25, 0.70, 0.05), (0.15, 0.70, 0.15))  # fine, same, coarse; near to far from edges
SMALLEST = 64  # networks see no smaller patch

Estimate = Callable[[Tensor], Tensor]
"""(P, 3, s, s) RGB in [0, 1] -> (P, 1, s, s) or (P, s, s)."""


def edges(patches: Tensor) -> Tensor:
    """Where a pixel is darker than its four neighbours by more than 24 grey levels in sum.

    Shapes:  patches (P, 3, s, s) RGB in [0, 1].    Returns: (P, s, s) bool, about a tenth of a street photo.
    """
    grey = sum(weight * patches[:, channel].float() for channel, weight in enumerate(_LUMA))
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return around - 4 * grey > EDGE


def squared_distance(edges: Tensor) -> Tensor:
    """Exact squared distance to the nearest edge pixel, along columns first and rows second.

    Shapes:  edges (P, H, W) bool.    Returns: (P, H, W) float32 whole numbers; above 4 (H + W)^2 without any edge.
    """
    height, width = edges.shape[1:]
    absent = 4.0 * (height + width)
    rows = torch.arange(height, device=edges.device, dtype=torch.float32)[:, None]
    above = torch.where(edges, rows, -absent).cummax(1).values
    below = torch.where(edges, rows, height + absent).flip(1).cummin(1).values.flip(1)
    column = torch.minimum(rows - above, below - rows).square()
    found = column.clone()
    on_host = edges.device.type == "cpu"
    for k in range(1, width):
        # Farther columns cannot be nearer than they are far. Asking costs nothing on the host, a wait on a GPU.
        if on_host and k * k >= found.max():
            break
        torch.minimum(found[..., k:], column[..., :-k] + k * k, out=found[..., k:])
        torch.minimum(found[..., :-k], column[..., k:] + k * k, out=found[..., :-k])
    return found


def scale_weights(edges: Tensor) -> Tensor:
    """How much the fine, the same and the coarse scale count: edges (P, s, s) bool -> (3, P, s, s), sum 1.

    Near an edge the fine scale, far from it the coarse one; what near means depends on how many edges there are.
    """
    pixels = edges.shape[1] * edges.shape[2]
    count = edges.sum((1, 2))[:, None, None]
    spacing = torch.where(count > 0, pixels / count.clamp(min=1), -1.0)  # no edges: everything is far from them
    distance = squared_distance(edges)
    near, far = distance < (NEAR * spacing).square(), distance > (FAR * spacing).square()
    near, far = near & (spacing > 0), far | (spacing < 0)
    zone = 1 - near.long() + far.long()  # 0 near, 1 between, 2 far
    return _table(edges.device)[zone].permute(3, 0, 1, 2)


@cache
def _table(device: torch.device) -> Tensor:
    return torch.tensor(WEIGHTS, device=device)


def three_scales(estimate: Estimate, patches: Tensor) -> Tensor:
    """Estimates at 1.5, 1 and 0.5 times the size (64 at least), brought back and mixed by `scale_weights`.

    Shapes:  patches (P, 3, s, s) RGB in [0, 1].    Returns: (P, s, s) float32.    Source: SGDEM.
    """
    size = patches.shape[-1]
    fine, coarse = int(1.5 * size), max(int(0.5 * size), SMALLEST)
    same = _plain(estimate(patches))
    far = same if coarse == size else _back(estimate(_resized(patches, coarse)), size)
    weights = scale_weights(edges(patches))
    return weights[0] * _back(estimate(_resized(patches, fine)), size) + weights[1] * same + weights[2] * far


def _resized(maps: Tensor, size: int) -> Tensor:
    return F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)


def _plain(found: Tensor) -> Tensor:
    return found.float().reshape(-1, *found.shape[-2:])


def _back(found: Tensor, size: int) -> Tensor:
    return _resized(_plain(found)[:, None], size)[:, 0]
