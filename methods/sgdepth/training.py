"""What a training step of SGDepth is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import nn

from engine import ranks
from losses.objective import Objective
from losses.semantic import SegmentationLoss
from methods.video.schedule import Schedule
from methods.video.teaching import build_teaching
from methods.video.training import VideoTraining, depth_loss, moving_objects


def training(
    args: Namespace,
    network: nn.Module,
    open_teacher: Callable[..., nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> VideoTraining:
    """Photometric loss, segmentation, masking of moving objects; a teacher of whole images where one is named."""
    objective = Objective(
        depth_loss(args),
        SegmentationLoss(args.model_num_classes, ranks.denominator),
        reprojection=args.depth_reprojection_weight,
    ).to(next(network.parameters()).device)
    schedule = Schedule(moving_objects(args), teaching=build_teaching(args, open_teacher))
    return VideoTraining(network, objective, schedule, autocast, args.train_compile)
