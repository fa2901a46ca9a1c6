"""Options of Spatial-KD to its network and its data."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from errors import UserError
from methods.metric.build import check_crop

if TYPE_CHECKING:
    from dataloader.catalog import Purpose
    from dataloader.items import ItemMaker
    from models.spatial_kd import SpatialKD

log = logging.getLogger(__name__)
OF_TEACHER = "resnext101"  # the encoder of the published ones
OF_TEACHERS = ("kd_teacher_decoder", "kd_feature_weight", "kd_laplacian_weight", "kd_replace", "kd_replaced_weight")


def check(args: Namespace) -> None:
    """What only a training of Spatial-KD can get wrong; a student gets norm and range of its teacher's decoder.

    Raises:
        UserError: naming the options.
    """
    check_crop(args, 32)
    if args.kd_teacher:
        _be_student(args)
        return
    idle = [f"--{name.replace('_', '-')}" for name in OF_TEACHERS if name in args.said]
    if idle:
        log.warning("%s: without effect unless --kd-teacher is given", ", ".join(idle))
    elif args.model_encoder != OF_TEACHER:
        log.info(
            "%s learns alone, from what was measured; --kd-teacher NETWORK makes it the student of a trained one",
            args.model_encoder,
        )


def _be_student(args: Namespace) -> None:
    """Let `args` name the decoder that the teacher brings."""
    from .teacher import told_of

    told = told_of(args.kd_teacher, args.kd_teacher_decoder, args.checkpoint_dir)
    for name, value in told.items():
        if name in args.said and getattr(args, name) != value:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{flag} {getattr(args, name)}: --kd-teacher {args.kd_teacher} has {value}, and its decoder is that of "
                f"the student; leave {flag} out"
            )
        setattr(args, name, value)


def network(args: Namespace, *, pretrained: bool = False) -> SpatialKD:
    """The network; `pretrained` starts the encoder from ImageNet weights.

    Raises:
        UserError: when the ImageNet weights cannot be fetched.
    """
    from models.spatial_kd import SpatialKD

    return SpatialKD(
        encoder=args.model_encoder,
        residuals=args.mobilenet_residuals == "full",
        norm=args.model_norm,
        max_depth=args.model_depth_max,
        pretrained=pretrained,
    )


def items(args: Namespace) -> Mapping[Purpose, ItemMaker]:
    """Images with their measured depth."""
    from dataloader.measured import measured_items

    return {"depth": measured_items(args)}
