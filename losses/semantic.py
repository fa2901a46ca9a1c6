"""The segmentation loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .reduction import Denominator, own_count

IGNORE = 255
# Rare classes count more: 1 / ln(1.02 + frequency) of the train ids 0..18 in Cityscapes; background is never labelled.
CLASS_WEIGHTS = (
    2.8149201869965,
    6.9850029945374,
    3.7890393733978,
    9.9428062438965,
    9.7702074050903,
    9.5110931396484,
    10.311357498169,
    10.026463508606,
    4.6323022842407,
    9.5608062744141,
    7.8698215484619,
    9.5168733596802,
    10.373730659485,
    6.6616044044495,
    10.260489463806,
    10.287888526917,
    10.289801597595,
    10.405355453491,
    10.138095855713,
    0.0,
)


class SegmentationLoss(nn.Module):
    """Cross entropy with class weights: sum_i w_i nll_i / sum_i w_i over labelled pixels; 0 where there are none.

    Source: SGDepth (arXiv 2007.06936), eq. 7; class weights of ENet (arXiv 1606.02147).

    Shapes:  logits (B, C, H, W); labels (B, H, W) train ids as int64, C and above = ignore.    Returns: scalar, >= 0.
    """

    def __init__(self, num_classes: int = 20, denominator: Denominator = own_count):
        super().__init__()
        self.denominator = denominator
        weights = CLASS_WEIGHTS if num_classes == len(CLASS_WEIGHTS) else (1.0,) * num_classes
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float64), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compare."""
        weights = self.weights.to(logits.dtype)
        counted = labels < logits.shape[1]
        labels = labels.where(counted, IGNORE)
        # Pixel by pixel, as convolutions that see channels last leave them: three times as fast as on whole maps.
        scores, wanted = logits.movedim(1, -1).flatten(0, -2), labels.flatten()
        total = F.cross_entropy(scores, wanted, weights, ignore_index=IGNORE, reduction="sum")
        weight = (weights[labels.where(counted, 0)] * counted).sum()
        return total / self.denominator(weight)
