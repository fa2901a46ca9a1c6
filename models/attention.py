"""What SGDEM adds to the encoder: attention between channels, strip by strip, and an atrous pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHECKPOINTED_FROM = 1024  # channels from which the attention maps are computed again instead of kept


def strip_attention(x: Tensor, strips: int) -> Tensor:
    """What each channel takes from the others, in each of several strips of columns by itself.

        E = X X^T,   P = softmax(-E),   A = P X      with X (C, h*s) the features of one strip

    There are no projections; the least similar channels weigh most. Strips are ceil(W / strips) columns wide, the
    last one may be narrower. Computed in float32 at least: E sums thousands of squares.
    Source: SGDEM (blockwise channel attention).

    Shapes:  x (B, C, H, W).    Returns: (B, C, H, W), without the residual, float32 or the wider dtype of x.
    """
    batch, channels, height, width = x.shape
    size = -(-width // strips)
    count = -(-width // size)
    with torch.autocast(x.device.type, enabled=False):
        exact = x.to(torch.promote_types(x.dtype, torch.float32)).contiguous()
        padded = F.pad(exact, (0, count * size - width))  # zero columns add nothing to E
        cut = padded.view(batch, channels, height, count, size).permute(0, 3, 1, 2, 4)  # (B, n, C, H, s)
        features = cut.reshape(batch * count, channels, height * size)
        weights = torch.softmax(-(features @ features.transpose(1, 2)), dim=-1)
        found = (weights @ features).view(batch, count, channels, height, size)
        return found.permute(0, 2, 3, 1, 4).reshape(batch, channels, height, count * size)[..., :width]


class StripAttention(nn.Module):
    """Features plus their `strip_attention`: (B, C, H, W) -> the same shape and dtype.

    Args:
        strips: number of strips; 1 attends over the whole width.
        gain: weigh the attention with a learned scalar that starts at 0, so that a trained network is not disturbed.

    Wide maps (1024 channels and more) are attended to again in the backward pass instead of being kept.
    """

    def __init__(self, strips: int, gain: bool = False):
        super().__init__()
        self.strips = strips
        self.gain = nn.Parameter(torch.zeros(())) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        if x.requires_grad and torch.is_grad_enabled() and x.shape[1] >= CHECKPOINTED_FROM:
            found = checkpoint(strip_attention, x, self.strips, use_reentrant=False)
        else:
            found = strip_attention(x, self.strips)
        if self.gain is not None:
            found = self.gain * found
        return (x + found).to(x.dtype)


class AtrousPyramid(nn.Module):
    """Context of several sizes: 1x1, 3x3 dilated by 2 and by 4, and the mean of the map; (B, C, H, W) -> same shape.

    256 channels per branch and a 1x1 convolution back to C, each with batch normalisation and ReLU.
    Source: DeepLabv3 (arXiv 1706.05587), with the dilations SGDEM's figure suggests.
    """

    WIDTH = 256

    def __init__(self, channels: int):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _unit(channels, self.WIDTH),
                _unit(channels, self.WIDTH, dilation=2),
                _unit(channels, self.WIDTH, dilation=4),
            ]
        )
        self.mean = _unit(channels, self.WIDTH)
        self.project = _unit(4 * self.WIDTH, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gather context."""
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.project(torch.cat([*(branch(x) for branch in self.branches), mean], 1))


def _unit(channels: int, out: int, dilation: int = 0) -> nn.Sequential:
    """Convolution (1x1, or 3x3 where dilated), batch normalisation, ReLU."""
    size = 3 if dilation else 1
    conv = nn.Conv2d(channels, out, size, padding=dilation, dilation=max(dilation, 1), bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


class Attended(nn.Module):
    """Feature maps of an encoder, the chosen ones attended to; the encoder itself computes on the plain ones.

    Args:
        widths: channels of the five maps, finest first.
        variant: `none`; `bottleneck`, the deepest map in `strips` strips; `released`, all but the first, each in one
            piece, as published checkpoints need it.
        strips: see `StripAttention`; of `bottleneck` only.
        gain: see `StripAttention`.
        aspp: put an `AtrousPyramid` before the attention of the deepest map.
    """

    def __init__(
        self, widths: Sequence[int], variant: str = "none", strips: int = 4, gain: bool = False, aspp: bool = False
    ):
        super().__init__()
        self.levels = {"none": (), "bottleneck": (4,), "released": (1, 2, 3, 4)}[variant]
        self.attention = StripAttention(1 if variant == "released" else strips, gain) if self.levels else None
        self.aspp = AtrousPyramid(widths[-1]) if aspp else None

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Maps of the same shapes."""
        maps = list(features)
        if self.aspp is not None:
            maps[-1] = self.aspp(maps[-1])
        return [self.attention(x) if level in self.levels else x for level, x in enumerate(maps)]
