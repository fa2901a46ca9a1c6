"""What training minimises. The `build_*` functions are the only places where options become losses."""

from __future__ import annotations

from argparse import Namespace

from engine import ranks

from .consistency import SemanticDepthConsistency
from .depth import DepthLoss
from .masking import DynamicClassMask
from .objective import Objective
from .patches.distillation import Follower, PatchDistillation
from .patches.loss import PatchLoss
from .patches.refine import PatchRefiner
from .patches.scales import Estimate
from .schedule import Phase, Schedule
from .semantic import SegmentationLoss

__all__ = [
    "DepthLoss",
    "DynamicClassMask",
    "Objective",
    "Phase",
    "Schedule",
    "SegmentationLoss",
    "build_mask",
    "build_objective",
    "build_refiner",
    "build_schedule",
]


def build_objective(args: Namespace) -> Objective:
    """Losses of a training."""
    depth = DepthLoss(
        smoothness=args.depth_disparity_smoothness,
        automasking=not args.depth_disable_automasking,
        average=args.depth_avg_reprojection,
    )
    weight = args.sd_consistency_weight
    return Objective(
        depth,
        SegmentationLoss(args.model_num_classes, ranks.denominator),
        reprojection=args.depth_reprojection_weight,
        consistency=SemanticDepthConsistency(args.sd_consistency_variant, ranks.denominator) if weight > 0 else None,
        consistency_weight=weight,
        patches=PatchLoss(args.patch_loss_weight, ranks.denominator) if args.patch_distill else None,
    )


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
        gather=ranks.all_gather,
        is_first=ranks.is_first(),
    )


def build_refiner(args: Namespace) -> PatchRefiner:
    """Patch refinement, for training and for use."""
    return PatchRefiner(
        size=args.patch_size,
        maximum=args.patch_max,
        enlarge=args.patch_enlarge,
        blend=args.patch_blend,
        share=args.patch_fusion_weight,
        chunk=args.patch_chunk,
    )


def build_schedule(args: Namespace, self_teacher: Follower | None = None, teacher: Estimate | None = None) -> Schedule:
    """What begins and ends in the course of a training; `self_teacher` where patches are distilled."""
    patches = None
    if self_teacher is not None:
        patches = PatchDistillation(
            build_refiner(args),
            self_teacher,
            teacher,
            epochs=(args.patch_from_epoch, args.patch_until_epoch),
            interval=args.patch_interval,
            gate=args.patch_gate == "photometric",
            depth_range=(args.model_depth_min, args.model_depth_max),
        )
    consistency_from = args.sd_consistency_from_epoch if args.sd_consistency_weight > 0 else -1
    return Schedule(build_mask(args), consistency_from, patches)
