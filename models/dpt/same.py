"""Two habits of TensorFlow in the ResNet of DPT-Hybrid: padding called "SAME", and standardised weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d, pad


def same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels to add before and behind an axis so that ceil(length / stride) outputs come out."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """(B, C, H, W) with "SAME" padding around it; `x` itself where none is needed."""
    top, bottom = same_padding(x.shape[-2], kernel, stride)
    left, right = same_padding(x.shape[-1], kernel, stride)
    return pad(x, (left, right, top, bottom), value=value) if top + bottom + left + right else x


class SameConv2d(nn.Conv2d):
    """Square convolution without bias, padded as TensorFlow does: more behind than before where it must be uneven."""

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(channels, outputs, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return conv2d(x, self.weight, padding=kernel // 2)
        return conv2d(pad_same(x, kernel, stride, 0.0), self.weight, stride=stride)


class SameMaxPool2d(nn.Module):
    """3x3 maximum at stride 2 with "SAME" padding."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2))."""
        return max_pool2d(pad_same(x, 3, 2, float("-inf")), 3, 2)


def standardised(weight: Tensor) -> Tensor:
    """(w - mean) / (std + 1e-5) per output channel, population std: what DPT's convolutions used.

    Source: timm 0.4.5, with which DPT was trained. Later versions take the root of (variance + 1e-8) instead, which
    moves the output by a quarter of a percent; so it is done once here, and the convolutions are plain.

    Shapes:  weight (outputs, inputs, k, k)    Returns: the same shape.
    """
    std, mean = torch.std_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
    return (weight - mean) / (std + 1e-5)
