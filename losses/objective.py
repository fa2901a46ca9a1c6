"""All terms of a training step."""

from __future__ import annotations

from torch import Tensor, nn

from .depth import DepthLoss
from .semantic import SegmentationLoss


class Objective(nn.Module):
    """Depth and segmentation losses, weight 1 each; the gradient scales of the network balance the tasks."""

    def __init__(self, depth: DepthLoss, segmentation: SegmentationLoss):
        super().__init__()
        self.depth, self.segmentation = depth, segmentation

    def forward(
        self,
        images: dict[int, Tensor],
        labels: Tensor | None,
        disp: dict[int, Tensor],
        logits: Tensor | None,
        warped: dict[int, Tensor],
        keep: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one data set.

        Args:
            images: frame offset -> (B, 3, H, W) RGB in [0, 1], as recorded (not jittered).
            labels: (B, H, W) train ids, or None.
            disp: r -> (B, 1, H/2^r, W/2^r); empty where depth is not trained.
            logits: (B, C, H, W), or None where segmentation is not trained.
            warped: frame offset -> (R*B, 3, H, W).
            keep: (B, H, W) pixels that count for depth, or None for all.

        Returns:
            scalar; named terms.
        """
        total, terms = images[0].new_zeros(()), {}
        if disp:
            depth, terms = self.depth(images[0], images, warped, disp, keep)
            terms["loss_depth"] = depth
            total = total + depth
        if logits is not None and labels is not None:
            terms["loss_seg"] = self.segmentation(logits, labels)
            total = total + terms["loss_seg"]
        return total, terms
