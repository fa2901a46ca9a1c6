"""Predicted depth against measured depth: plain tensor operations that never wait for the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from errors import check_shape

VARIANCE_FOCUS = 0.85
FACTOR = 10.0
LEAST_DEPTH = 1e-3  # metres, below which predictions are moved to it
LEAST_RADICAND = 1e-12
OUTSIDE = 0.1  # weight of gradients outside the mask


def scale_invariant(depth: Tensor, truth: Tensor, nearest: float) -> Tensor:
    """Logarithmic differences d over all valid pixels of the batch, in part blind to their mean.

        10 * sqrt(mean(d^2) - 0.85 * mean(d)^2),   d = ln(depth) - ln(truth) where truth > nearest

    Source: Eigen et al. (arXiv 1406.2283); weights of BTS (arXiv 1907.10326). Of several ranks each has its own batch.

    Shapes:  depth, truth (B, 1, H, W) metres, truth 0 = none; nearest: metres, below which truth does not count
    Returns: scalar, >= 0; 0 without gradient where no pixel is valid.
    """
    check_shape("scale-invariant loss: truth", truth, *depth.shape)
    valid = truth > nearest
    difference = depth.clamp_min(LEAST_DEPTH).log() - truth.where(valid, 1.0).log()
    difference = difference.where(valid, 0.0)
    count = valid.sum().clamp(min=1)
    mean, square = difference.sum() / count, difference.square().sum() / count
    loss = FACTOR * (square - VARIANCE_FOCUS * mean.square()).clamp_min(LEAST_RADICAND).sqrt()
    return loss.where(valid.any(), 0.0)


def sobel(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients down and across, of (B, 1, H, W) with zeros around: falling values give positive ones."""
    across = maps.new_tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).view(1, 1, 3, 3)
    return F.conv2d(maps, across.mT, padding=1), F.conv2d(maps, across, padding=1)


def gradient_loss(depth: Tensor, dense: Tensor, inside: Tensor | None = None) -> Tensor:
    """Differences of Sobel gradients of predicted and dense depth, mean over all pixels, down plus across.

    inside: (B, 1, H, W) bool; elsewhere differences count a tenth

    Source: LapDepth. Shapes: depth, dense (B, 1, H, W) metres -> scalar, >= 0.
    """
    check_shape("gradient loss: dense", dense, *depth.shape)
    weight = 1.0 if inside is None else torch.where(inside, 1.0, OUTSIDE)
    pairs = zip(sobel(depth), sobel(dense), strict=True)
    return sum(((found - wanted).abs() * weight).mean() for found, wanted in pairs)


def as_far_as(dense: Tensor, truth: Tensor) -> Tensor:
    """Dense depth, each map scaled so that its largest value is that of the measured one: (B, 1, H, W) metres."""
    farthest, largest = truth.amax((1, 2, 3), keepdim=True), dense.amax((1, 2, 3), keepdim=True)
    return dense * (farthest / largest.clamp_min(LEAST_DEPTH))


def rows_of_scans(truth: Tensor) -> Tensor:
    """Where LapDepth trusts dense depth of KITTI: in rows that laser scans reach, and where there is a measurement.

    Shapes: truth (B, 1, H, W) metres, 0 = none -> (B, 1, H, W) bool.
    """
    height = truth.shape[2]
    row = torch.arange(height, device=truth.device)
    reached = (row >= int(0.3324324 * height)) & (row < int(0.99189189 * height))
    return (truth > LEAST_DEPTH) | reached[:, None]
