"""The loss between a disparity and its refinement."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..photometric import Reference, dssim, pooled_mean
from ..reduction import Denominator, own_count
from .refine import Refined

_SSIM_WEIGHT, _SQUARE_WEIGHT = 0.2, 0.8


class PatchLoss(nn.Module):
    """Structure and squared difference, mean over the pixels that count.

        weight * (0.2 mean(DSSIM(D, T)) + 0.8 mean((D - T)^2))

    Source: SGDEM, with means over covered pixels in place of its mixed units; the target has no gradient.
    """

    def __init__(self, weight: float = 16.0, denominator: Denominator = own_count):
        super().__init__()
        self.weight, self.denominator = weight, denominator

    def forward(self, disp: Tensor, refined: Refined) -> Tensor:
        """Compare.

        Shapes:  disp (B, 1, H, W) sigmoid disparity in (0, 1), of the same images as `refined`.
        Returns: scalar, >= 0; 0 with a gradient of 0 where no pixel counts.
        """
        counted = refined.counted
        target = refined.disparity.detach()
        # Both maps are smooth and nearly equal, so the order in which windows are summed shows in the fifth digit.
        structure = dssim(disp, Reference.of(target, pooled_mean))[0]
        unlike = _SSIM_WEIGHT * structure + _SQUARE_WEIGHT * (disp - target).square()
        return self.weight * torch.where(counted, unlike, 0).sum() / self.denominator(counted.sum())
