"""The target view made from a neighbour frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import check_shape

from .camera import pixel_grid

_EPS = 1e-7
_NEAREST = 1e-12  # the gradient of 1 / z is finite down to here


def sampling_grid(depth: Tensor, K: Tensor, inv_K: Tensor, T_source_target: Tensor) -> Tensor:
    """Where each target pixel lies in the source images.

    Points behind the camera are not masked. K T K^-1 is folded into one 3x3 matrix and a shift, so a point costs
    one multiplication by its depth:  p = depth * (K R K^-1) (x, y, 1)^T + K t.

    Shapes:  depth (R*B, 1, H, W) metres, R resolutions of the same B images one after the other;
             K, inv_K (B, 4, 4), K in pixels; T_source_target (..., B, 4, 4), of one source or of several.
    Returns: (..., R*B, H, W, 2), x and y in [-1, 1] between the centres of the outermost pixels.
    """
    batch = K.shape[0]
    _, _, height, width = depth.shape
    project = K[:, :3, :3] @ T_source_target[..., :3, :3]
    rays = (project @ inv_K[:, :3, :3]) @ pixel_grid(height, width, depth)  # (..., B, 3, H*W)
    shift = K[:, :3, :3] @ T_source_target[..., :3, 3:] + K[:, :3, 3:]  # (..., B, 3, 1)
    points = depth.view(-1, batch, 1, height * width) * rays.unsqueeze(-4) + shift.unsqueeze(-4)  # (..., R, B, 3, H*W)
    x, y, z = points.unbind(-2)
    z = z + _EPS
    inverse = 1.0 / torch.where(z.abs() < _NEAREST, _NEAREST, z)  # (..., R, B, H*W)
    x = x * inverse * (2.0 / (width - 1)) - 1.0
    y = y * inverse * (2.0 / (height - 1)) - 1.0
    return torch.stack((x, y), -1).view(*T_source_target.shape[:-3], -1, height, width, 2)


def warp(source: Tensor, grid: Tensor, mode: str = "bilinear") -> Tensor:
    """Source images sampled at `grid`; outside an image its border repeats.

    ``align_corners`` is True: the only convention that agrees with a grid normalised by (W-1, H-1). Coordinates that
    are not a number are read as the centre, without gradient.

    Shapes:  source (..., B, C, H, W); grid (..., R*B, H, W, 2).    Returns: (..., R*B, C, H, W).
    """
    # Not-a-number coordinates crash the process in the CPU kernel's backward pass.
    grid = grid.nan_to_num(nan=0.0)
    *several, batch, channels, height, width = source.shape
    repeats = grid.shape[-4] // batch
    check_shape("warp: grid", grid, *several, repeats * batch, None, None, 2)
    if repeats > 1:
        source = source.unsqueeze(-5).expand(*several, repeats, *source.shape[-4:])
    images = source.reshape(-1, channels, height, width)
    found = F.grid_sample(images, grid.flatten(0, -4), mode=mode, padding_mode="border", align_corners=True)
    return found.view(*grid.shape[:-3], *found.shape[1:])
