"""Networks. `build_model` is the only place where options become one."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    from torch import nn

METHODS = ("sgdepth",)


def build_model(args: Namespace, pretrained: bool = False) -> nn.Module:
    """Network of ``args.method``; `pretrained` starts both encoders from ImageNet weights.

    Raises:
        UserError: when the method is unknown or the ImageNet weights cannot be fetched.
    """
    match args.method:
        case "sgdepth":
            from .sgdepth import SGDepth

            return SGDepth(
                layers=args.model_num_layers,
                pose_layers=args.model_num_layers_pose,
                split_pos=args.model_split_pos,
                resolutions=args.model_depth_resolutions,
                num_classes=args.model_num_classes,
                disparity_bias=args.model_disparity_bias,
                grad_scales=(
                    getattr(args, "train_depth_grad_scale", 1.0),
                    getattr(args, "train_segmentation_grad_scale", 1.0),
                ),
                pretrained=pretrained,
            )
    raise UserError(f"--method {args.method!r}: unknown; choose one of {', '.join(METHODS)}")
