"""Smaller copies of an image, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from perspective_resample.resize import lanczos

Size = tuple[int, int]
Pyramid = Callable[[Tensor, Sequence[Size]], list[Tensor]]
"""Images (B, 3, H, W) RGB in [0, 1] and (height, width)s, largest first -> the images in these sizes."""


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
