"""Options of BDEdepth to its network and its data."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from errors import UserError
from methods.monodepth2 import build as monodepth2

if TYPE_CHECKING:
    from dataloader.catalog import Purpose
    from dataloader.items import ItemMaker
    from models.bdedepth import BDEdepth

log = logging.getLogger(__name__)
HRNET_LAYERS = 18


def check(args: Namespace) -> None:
    """As Monodepth2, weights of the backbone that would not be used, and decay that the published SGD does not have.

    Raises:
        UserError: naming the options.
    """
    monodepth2.check(args)
    if args.train_optimizer == "sgd" and args.train_weight_decay and "train_weight_decay" not in args.said:
        log.warning(
            "--train-optimizer sgd: as published it has no weight decay, this recipe of AdamW %g; "
            "--train-weight-decay 0 leaves it out",
            args.train_weight_decay,
        )
    if not args.model_backbone_weights:
        return
    given = f"--model-backbone-weights {args.model_backbone_weights}"
    if args.model_backbone != "hrnet":
        raise UserError(f"{given}: weights of HRNet, and this is --model-backbone {args.model_backbone}; leave one out")
    if args.train_weights_init == "scratch":
        raise UserError(f"{given} and --train-weights-init scratch: one is ImageNet, the other random; leave one out")


def network(args: Namespace, *, pretrained: bool = False) -> BDEdepth:
    """The network; `pretrained` starts both encoders from ImageNet weights.

    Raises:
        UserError: when HRNet is wanted in another size than there is, or the ImageNet weights cannot be fetched.
    """
    from models.bdedepth import BDEdepth

    if args.model_backbone == "hrnet" and args.model_num_layers != HRNET_LAYERS:
        raise UserError(
            f"--model-num-layers {args.model_num_layers}: HRNet has its {HRNET_LAYERS} alone; leave it out or pass "
            "--model-backbone resnet"
        )
    return BDEdepth(
        backbone=args.model_backbone,
        layers=args.model_num_layers,
        pose_layers=args.model_num_layers_pose,
        resolutions=args.model_depth_resolutions,
        depth_range=(args.model_depth_min, args.model_depth_max),
        pretrained=pretrained,
        weights=getattr(args, "model_backbone_weights", ""),  # an option of training only
    )


def items(args: Namespace) -> Mapping[Purpose, ItemMaker]:
    """Triplets of video, resized as the network wants them, and the views that are asked for."""
    from dataloader.views import view_items
    from models.bdedepth import BDEdepth

    return {"depth": view_items(args, filter=BDEdepth.input_filter)}
