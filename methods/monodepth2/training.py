"""What a training step of Monodepth2 is."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import nn

from losses.objective import Objective
from losses.pyramid import lanczos_pyramid
from methods.video.schedule import Schedule
from methods.video.training import VideoTraining, depth_loss


def training(
    args: Namespace,
    network: nn.Module,
    open_teacher: Callable[[str], nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> VideoTraining:
    """Photometric loss and smoothness at all resolutions; without a teacher."""
    depth = depth_loss(args, ssim=args.depth_ssim, pyramid=lanczos_pyramid)
    objective = Objective(depth, reprojection=args.depth_reprojection_weight)
    return VideoTraining(network, objective, Schedule(), autocast, args.train_compile)
