"""Camera motion: axis-angle and translation -> 4x4 matrices."""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = 1e-7


def rotation_matrix(axisangle: Tensor) -> Tensor:
    """Rotation about `axisangle` by its length in radians (Rodrigues): (..., 3) -> (..., 3, 3).

        R = cos(theta) I + (1 - cos(theta)) k k^T + sin(theta) [k]_x,   k = a / (|a| + 1e-7)

    The small constant keeps the zero rotation defined, as in SGDepth and Monodepth2.
    """
    theta = axisangle.norm(dim=-1, keepdim=True)
    k = axisangle / (theta + _EPS)
    zero = torch.zeros_like(k[..., 0])
    x, y, z = k.unbind(-1)
    skew = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))
    cos, sin = theta.cos().unsqueeze(-1), theta.sin().unsqueeze(-1)
    eye = torch.eye(3, dtype=k.dtype, device=k.device)
    return cos * eye + (1 - cos) * k.unsqueeze(-1) * k.unsqueeze(-2) + sin * skew


def transformation(axisangle: Tensor, translation: Tensor, invert: bool = False) -> Tensor:
    """Motion as a matrix: [R | t], or its inverse [R^T | -R^T t].

    Shapes:  axisangle (..., 3) radians; translation (..., 3) metres up to scale.
    Returns: (..., 4, 4).
    """
    rotation = rotation_matrix(axisangle)
    shift = translation.unsqueeze(-1)
    if invert:
        rotation = rotation.transpose(-1, -2)
        shift = rotation @ -shift
    last = torch.zeros_like(rotation[..., :1, :])
    corner = torch.ones_like(last[..., :1])
    return torch.cat((torch.cat((rotation, shift), -1), torch.cat((last, corner), -1)), -2)
