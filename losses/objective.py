"""All terms of a training step."""

from __future__ import annotations

from torch import Tensor, nn

from .consistency import SemanticDepthConsistency
from .depth import DepthLoss
from .patches.loss import PatchLoss
from .patches.refine import Refined
from .semantic import SegmentationLoss


class Objective(nn.Module):
    """Sum of the depth, segmentation, consistency and patch losses; the gradient scales of the network balance tasks.

        total = reprojection * loss_depth + loss_seg + loss_sd + loss_patch

    Args:
        depth, segmentation: losses of the two kinds of data sets; segmentation may be None.
        reprojection: weight of the depth loss; 1 in SGDepth, 2 in SGDEM.
        consistency: loss on disparity and predicted classes, or None; `consistency_weight` is its weight.
        patches: loss on disparity and refined disparity, or None.
    """

    def __init__(
        self,
        depth: DepthLoss,
        segmentation: SegmentationLoss | None = None,
        reprojection: float = 1.0,
        consistency: SemanticDepthConsistency | None = None,
        consistency_weight: float = 0.0,
        patches: PatchLoss | None = None,
    ):
        super().__init__()
        self.depth, self.segmentation, self.reprojection = depth, segmentation, reprojection
        self.consistency, self.consistency_weight, self.patches = consistency, consistency_weight, patches

    def forward(
        self,
        images: dict[int, Tensor],
        labels: Tensor | None,
        disp: dict[int, Tensor],
        logits: Tensor | None,
        warped: dict[int, Tensor],
        keep: Tensor | None = None,
        ids: Tensor | None = None,
        refined: Refined | None = None,
        sure: Tensor | None = None,
        K: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one data set.

        Args:
            images: frame offset -> (B, 3, H, W) RGB in [0, 1], as recorded (not jittered).
            labels: (B, H, W) train ids, or None.
            disp: r -> (B, 1, H/2^r, W/2^r); empty where depth is not trained.
            logits: (B, C, H, W), or None where segmentation is not trained.
            warped: frame offset -> (R*B, 3, H, W).
            keep: (B, H, W) pixels that count for depth, or None for all.
            ids: (B, H, W) predicted classes, or None where consistency is not asked for in this step.
            refined: refined disparity, or None where patches are not asked for in this step.
            sure: (B, H, W) how sure the predicted classes are, where `consistency` weighs them.
            K: (B, 4, 4) intrinsics in pixels, for consistency.

        Returns:
            scalar; named terms: `loss_depth` before, the others after their weights. Terms of a loss that is
            configured but not asked for in this step are 0.
        """
        total, terms = images[0].new_zeros(()), {}
        if disp:
            depth, terms = self.depth(images[0], images, warped, disp, keep)
            terms["loss_depth"] = depth
            total = total + self.reprojection * depth
            if self.consistency is not None:
                apart = total.new_zeros(()) if ids is None else self.consistency(disp[0], ids, sure, K)
                terms["loss_sd"] = self.consistency_weight * apart
                total = total + terms["loss_sd"]
            if self.patches is not None:
                terms["loss_patch"] = total.new_zeros(()) if refined is None else self.patches(disp[0], refined)
                total = total + terms["loss_patch"]
        if self.segmentation is not None and logits is not None and labels is not None:
            terms["loss_seg"] = self.segmentation(logits, labels)
            total = total + terms["loss_seg"]
        return total, terms
