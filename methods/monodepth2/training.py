"""What a training step of Monodepth2 is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import nn

from losses.objective import Objective
from losses.pyramid import lanczos_pyramid
from losses.views import ViewsLoss
from methods.video.schedule import Schedule
from methods.video.teaching import build_teaching
from methods.video.training import VideoTraining, depth_loss
from methods.video.views import ViewsTraining


def training(
    args: Namespace,
    network: nn.Module,
    open_teacher: Callable[..., nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> VideoTraining:
    """Photometric loss and smoothness at all resolutions, of further views where they are wanted."""
    depth = depth_loss(args, ssim=args.depth_ssim, pyramid=lanczos_pyramid)
    schedule = Schedule(teaching=build_teaching(args, open_teacher))
    if args.local_crop or args.patch_reshuffle:
        loss = ViewsLoss(
            depth,
            depth_range=(args.model_depth_min, args.model_depth_max),
            reprojection=args.depth_reprojection_weight,
            weight=args.consistency_weight,
            detach=args.consistency_detach == "original",
        )
        return ViewsTraining(network, loss, schedule, autocast, args.train_compile)
    objective = Objective(depth, reprojection=args.depth_reprojection_weight)
    return VideoTraining(network, objective, schedule, autocast, args.train_compile)
