"""Smaller copies of an image, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
Pyramid = Callable[[Tensor, Sequence[Size]], list[Tensor]]
"""Images (B, 3, H, W) RGB in [0, 1] and (height, width)s, largest first -> the images in these sizes."""

_LOBES = 3


def bilinear_pyramid(image: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
    """Each size from the whole image, without smoothing it first.  Source: SGDepth (arXiv 2007.06936)."""
    same = tuple(image.shape[-2:])
    return [
        image if tuple(size) == same else F.interpolate(image, size, mode="bilinear", align_corners=False)
        for size in sizes
    ]


def lanczos_pyramid(image: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
    """Each size from the one before, as Pillow's LANCZOS does it.  Source: Monodepth2 (arXiv 1806.01260)."""
    images = []
    for size in sizes:
        image = lanczos(image, size)
        images.append(image)
    return images


@torch.no_grad()
def lanczos(image: Tensor, size: Size) -> Tensor:
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
