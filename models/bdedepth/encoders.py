"""Encoders of six maps: those of a backbone, and before them one at full resolution, the context branch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..encoders import ResnetEncoder
from ..hrnet import WIDTHS, hrnet_w18


def _branch(stem: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Copies of the first convolution of a backbone, without its stride, and of its normalisation.

    They learn on their own, and so do their statistics.
    """
    convolution = nn.Conv2d(3, stem.out_channels, stem.kernel_size, padding=stem.padding, bias=False)
    fresh = nn.BatchNorm2d(norm.num_features)
    with torch.no_grad():
        convolution.weight.copy_(stem.weight)
        fresh.weight.copy_(norm.weight)
        fresh.bias.copy_(norm.bias)
    return convolution, fresh


class ContextResnet(ResnetEncoder):
    """ResNet with a context branch.

    Shapes:  x (B, 3, H, W), normalised; H and W multiples of 32, at least 64.
    Returns: six maps, full size to 1/32, with `widths` channels.
    """

    def __init__(self, layers: int, pretrained: bool = False):
        super().__init__(layers, pretrained=pretrained)
        self.widths = (self.widths[0], *self.widths)
        self.conv1, self.bn1 = _branch(self.encoder.conv1, self.encoder.bn1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        return [F.relu(self.bn1(self.conv1(x))), *super().forward(x)]


class ContextHrnet(nn.Module):
    """HRNet-W18 with a context branch; shapes as of `ContextResnet`.

    weights: file with ImageNet weights of HRNet-W18-C; "" for those of timm. Only looked at where `pretrained`.
    """

    def __init__(self, pretrained: bool = False, weights: str = ""):
        super().__init__()
        self.widths = (WIDTHS[0], *WIDTHS)
        self.encoder = hrnet_w18(pretrained, weights)
        self.context_conv, self.context_bn = _branch(self.encoder.conv1, self.encoder.bn1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        return [F.relu(self.context_bn(self.context_conv(x))), *self.encoder(x)]
