"""Averaging a prediction with that of the mirrored image, as Monodepth (arXiv 1609.03677) introduced it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import torch
from torch import Tensor

from .interface import Predict

BORDER, SLOPE = 0.05, 20  # share of the width that one of the two predicts alone, and how fast the other comes in


def with_mirror_image(predict: Predict, *, blend: bool = True) -> Predict:
    """What predicts depth from an image and from its mirror image: `blended`, or their mean, in its own quantity."""

    def both(images: Tensor) -> SimpleNamespace:
        found = predict(torch.cat((images, images.flip(-1)))).depth
        direct, mirrored = found.values.chunk(2)
        turned = mirrored.flip(-1)
        return SimpleNamespace(depth=replace(found, values=blended(direct, turned) if blend else (direct + turned) / 2))

    return both


def blended(direct: Tensor, turned: Tensor) -> Tensor:
    """Prediction l and that of the mirror image turned back, r, put together.

        x = 0 .. 1 over the width, a = 1 - clip(20 (x - 0.05), 0, 1), b = a mirrored
        a r + b l + (1 - a - b) (l + r) / 2

    The left border is that of r, the right one that of l, the middle their mean.

    Shapes: direct, turned (..., W) -> (..., W), float32 as they are
    """
    width = direct.shape[-1]
    across = torch.linspace(0, 1, width, dtype=torch.float64, device=direct.device)
    left = 1 - (SLOPE * (across - BORDER)).clamp(0, 1)
    right = left.flip(-1)
    mean = (direct.double() + turned) / 2
    return (left * turned + right * direct + (1 - left - right) * mean).to(direct.dtype)
