"""The decoder that teacher and student share, and the replacement of student features on the way through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoders import OutputConv2d

UP = ((1024, 512), (256, 128), (128, 64), (64, 32), (32, 16))
REDUCE = ((1024, 256), (384, 128), (192, 64), (96, 32))
GROUP = 16  # channels per group of group normalisation


@dataclass(frozen=True)
class Replacement:
    """What may take the place of a map: `partner` (B, C, h, w) of the teacher where `mask` (B, 1, h, w) is True."""

    partner: Tensor
    mask: Tensor


def replaced(x: Tensor, replacement: Replacement) -> Tensor:
    """The partner where the mask is True and x > 0, else x (B, C, h, w); no gradient where it was replaced."""
    return torch.where(replacement.mask & (x > 0), replacement.partner.to(x.dtype), x)


def normalisation(kind: str, channels: int) -> nn.Module:
    """``GN`` of 16 channels a group, or ``BN``."""
    if kind == "GN":
        return nn.GroupNorm(channels // GROUP, channels)
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.01)


class Up(nn.Module):
    """Normalisation, ReLU, bilinear enlargement and a 3x3 convolution."""

    def __init__(self, channels: int, out: int, norm: str):
        super().__init__()
        self.norm = normalisation(norm, channels)
        self.conv = nn.Conv2d(channels, out, 3, padding=1, bias=False)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, channels, h, w) -> (B, out, *size)."""
        x = F.interpolate(F.relu(self.norm(x)), size, mode="bilinear", align_corners=False)
        return self.conv(x)


class Thin(nn.Module):
    """Normalisation, ReLU and a convolution: (B, channels, h, w) -> (B, out, h, w)."""

    def __init__(self, channels: int, norm: str, convolution: nn.Conv2d):
        super().__init__()
        self.module = nn.Sequential(normalisation(norm, channels), nn.ReLU(inplace=True), convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self.module(x)


class BasicDecoder(nn.Module):
    """U-shaped decoder of five steps; `norm` is ``GN`` or ``BN``.

    Each step enlarges; the next one takes in the map of the encoder of that size first.
    """

    def __init__(self, norm: str = "GN"):
        super().__init__()
        self.norm = norm
        for step, channels in enumerate(UP):
            setattr(self, f"decoder_{step}_up", Up(*channels, norm))
        for step, (channels, out) in enumerate(REDUCE, 1):
            setattr(self, f"decoder_{step}_reduc", Thin(channels, norm, nn.Conv2d(channels, out, 1, bias=False)))
        self.decoder_5 = Thin(UP[-1][1], norm, OutputConv2d(UP[-1][1], 1, 3, padding=1, bias=False))

    def forward(
        self, features: Sequence[Tensor], size: tuple[int, int], replacements: Sequence[Replacement] = ()
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Results of the five steps before any activation, 1/16 to full size, and the maps as they were before.

        features:     five maps of the encoder, finest first
        size:         (height, width) of the image it saw
        replacements: of the deepest map and of the results of the first steps, in this order; the next step goes on
                      with what came of them, and so does the first list

        Returns: (B, 512, H/16, W/16) to (B, 16, H, W); the maps that were replaced, as they were.
        """
        *skips, x = features
        sizes = [*(tuple(skip.shape[-2:]) for skip in reversed(skips)), size]
        found, before = [], []
        for step in range(len(UP) + 1):
            if step < len(replacements):
                before.append(x)
                x = replaced(x, replacements[step])
            if step:
                found.append(x)
            if 0 < step < len(UP):
                x = getattr(self, f"decoder_{step}_reduc")(torch.cat((x, skips[-step]), 1))
            if step < len(UP):
                x = getattr(self, f"decoder_{step}_up")(x, sizes[step])
        return found, before

    def output(self, last: Tensor) -> Tensor:
        """Result of the last step -> (B, 1, H, W) float32, without activation."""
        return self.decoder_5(last)
