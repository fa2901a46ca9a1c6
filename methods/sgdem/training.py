"""What a training step of SGDEM is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import nn

from engine import ranks
from errors import UserError
from losses.consistency import SemanticDepthConsistency
from losses.objective import Objective
from losses.patches.distillation import PatchDistillation
from losses.patches.loss import PatchLoss
from losses.semantic import SegmentationLoss
from methods.refinement import build_refiner
from methods.video.schedule import Schedule
from methods.video.teaching import build_teaching
from methods.video.training import VideoTraining, depth_loss, moving_objects
from models.self_teacher import KINDS, SelfTeacher


def training(
    args: Namespace,
    network: nn.Module,
    open_teacher: Callable[..., nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> VideoTraining:
    """The step of SGDepth with consistency of depth and classes, and distillation from patches.

    Raises:
        UserError: when a teacher cannot be opened.
    """
    weight = args.sd_consistency_weight
    objective = Objective(
        depth_loss(args),
        SegmentationLoss(args.model_num_classes, ranks.denominator),
        reprojection=args.depth_reprojection_weight,
        consistency=_consistency(args) if weight > 0 else None,
        consistency_weight=weight,
        patches=PatchLoss(args.patch_loss_weight, ranks.denominator) if args.patch_distill else None,
    ).to(next(network.parameters()).device)
    consistency_from = args.sd_consistency_from_epoch if weight > 0 else -1
    patches = _patches(args, network, open_teacher)
    schedule = Schedule(moving_objects(args), consistency_from, patches, build_teaching(args, open_teacher))
    return VideoTraining(network, objective, schedule, autocast, args.train_compile)


def _consistency(args: Namespace) -> SemanticDepthConsistency:
    return SemanticDepthConsistency(
        args.sd_consistency_variant,
        ranks.denominator,
        (args.model_depth_min, args.model_depth_max),
        args.sd_consistency_margin,
    )


def _patches(args: Namespace, network: nn.Module, open_teacher: Callable[..., nn.Module]) -> PatchDistillation | None:
    """Distillation with the teachers it needs; None where this run never comes to it."""
    if not (args.patch_distill and args.depth_training_loaders and args.patch_from_epoch < args.train_num_epochs):
        return None
    teacher = fixed = None
    if args.patch_teacher != "none" and not args.patch_teacher_cache:
        try:
            teacher = open_teacher(args.patch_teacher, asked="patches")
        except UserError as error:
            raise UserError(f"{error}; or pass --patch-teacher none to train without it") from None
    if args.patch_self_teacher not in KINDS:
        other = open_teacher(args.patch_self_teacher)
        if not hasattr(other, "depth_branch"):
            raise UserError(
                f"--patch-self-teacher {args.patch_self_teacher}: a frozen network of others; give it as "
                "--patch-teacher, and here a checkpoint of a network that was trained here"
            )
        fixed = other.depth_branch()
    return PatchDistillation(
        build_refiner(args),
        SelfTeacher(network, args.patch_self_teacher, fixed),
        teacher,
        epochs=(args.patch_from_epoch, args.patch_until_epoch),
        interval=args.patch_interval,
        gate=args.patch_gate == "photometric",
        depth_range=(args.model_depth_min, args.model_depth_max),
    )
