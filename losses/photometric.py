"""How different two images look: structural similarity and absolute difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_C1, _C2 = 0.01**2, 0.03**2
_SSIM_WEIGHT = 0.85


def _window_sum(padded: Tensor) -> Tensor:
    """Sum of every 3x3 window, (..., H+2, W+2) -> (..., H, W); slices are ten times faster than pooling."""
    columns = padded[..., :-2] + padded[..., 1:-1]
    columns += padded[..., 2:]
    rows = columns[..., :-2, :] + columns[..., 1:-1, :]
    rows += columns[..., 2:, :]
    return rows


class _WindowMean(torch.autograd.Function):
    """Mean of every 3x3 window. Slices are slow to differentiate; the gradient is a window sum as well."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, padded: Tensor) -> Tensor:
        return _window_sum(padded).div_(9)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        return _window_sum(F.pad(grad, (2, 2, 2, 2))).div_(9)


_window_mean = _WindowMean.apply


def pooled_mean(padded: Tensor) -> Tensor:
    """Mean of every 3x3 window in the order of the published sums; slow, for images that hardly differ."""
    pooled = F.avg_pool2d(padded.flatten(0, -3)[:, None], 3, 1)
    return pooled.view(*padded.shape[:-2], *pooled.shape[-2:])


def _pad(image: Tensor) -> Tensor:
    return F.pad(image, (1, 1, 1, 1), mode="reflect")


@dataclass(frozen=True)
class Reference:
    """An image many others are compared with, and its window statistics, computed once.

    `image` (B, C, H, W) in [0, 1], `padded` (B, C, H+2, W+2); `mean`, `variance` (B, C, H, W); `window` takes the
    mean of every 3x3 window, (..., H+2, W+2) -> (..., H, W).
    """

    image: Tensor
    padded: Tensor
    mean: Tensor
    variance: Tensor
    window: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, image: Tensor, window: Callable[[Tensor], Tensor] = _window_mean) -> Reference:
        """Statistics of `image` (B, C, H, W)."""
        padded = _pad(image)
        mean = window(padded)
        return cls(image, padded, mean, window(padded * padded) - mean * mean, window)


def dssim(image: Tensor, reference: Reference) -> Tensor:
    """Structural dissimilarity per pixel and channel, in [0, 1].

        clamp((1 - SSIM) / 2, 0, 1), uniform 3x3 windows, C1 = 0.01^2, C2 = 0.03^2

    Source: Wang et al. 2004 in the form of Monodepth (arXiv 1609.03677).

    Shapes:  image (R*B, C, H, W) in [0, 1], R groups of the B images of `reference`.    Returns: (R, B, C, H, W).
    """
    shape = (-1, *reference.image.shape)
    padded = _pad(image)
    mean = reference.window(padded)
    variance = (reference.window(padded * padded) - mean * mean).view(shape)
    product = padded.view(-1, *reference.padded.shape) * reference.padded
    mean = mean.view(shape)
    means = mean * reference.mean
    covariance = reference.window(product) - means
    similar = (2 * means + _C1) * (2 * covariance + _C2)
    energy = (mean * mean + reference.mean * reference.mean + _C1) * (variance + reference.variance + _C2)
    return (0.5 - 0.5 * (similar / energy)).clamp(0, 1)


def photometric_error(image: Tensor, reference: Reference, ssim: bool = True) -> Tensor:
    """0.85 * dissimilarity + 0.15 * absolute difference, each the mean over the channels.

    ssim: False takes the absolute difference alone, with weight 1.

    Shapes:  image (R*B, C, H, W) in [0, 1].    Returns: (R, B, H, W), in [0, 1].
    Source: Monodepth2 (arXiv 1806.01260), eq. 2.
    """
    difference = (image.view(-1, *reference.image.shape) - reference.image).abs()
    if not ssim:
        return difference.mean(2)
    return (_SSIM_WEIGHT * dssim(image, reference) + (1 - _SSIM_WEIGHT) * difference).mean(2)
