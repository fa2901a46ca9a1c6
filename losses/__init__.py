"""What training minimises. `build_objective` is the only place where options become losses."""

from __future__ import annotations

from argparse import Namespace

from .depth import DepthLoss
from .masking import DynamicClassMask
from .objective import Objective
from .semantic import SegmentationLoss

__all__ = ["DepthLoss", "DynamicClassMask", "Objective", "SegmentationLoss", "build_mask", "build_objective"]


def build_objective(args: Namespace) -> Objective:
    """Losses of ``args.method``."""
    depth = DepthLoss(
        smoothness=args.depth_disparity_smoothness,
        automasking=not args.depth_disable_automasking,
        average=args.depth_avg_reprojection,
    )
    return Objective(depth, SegmentationLoss(args.model_num_classes))


def build_mask(args: Namespace) -> DynamicClassMask | None:
    """Masking of moving objects, or None where it is off."""
    if not args.masking_enable:
        return None
    return DynamicClassMask(
        from_epoch=args.masking_from_epoch,
        epochs=args.train_num_epochs,
        linear_increase=args.masking_linear_increase,
        fraction=args.moving_mask_percent,
        classes=args.masking_classes,
    )
