"""Options of LapDepth to its network and its data."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from methods.metric.build import check_crop

if TYPE_CHECKING:
    from dataloader.catalog import Purpose
    from dataloader.items import ItemMaker
    from models.lapdepth import LapDepth

log = logging.getLogger(__name__)


def check(args: Namespace) -> None:
    """What only a training of LapDepth can get wrong.

    Raises:
        UserError: naming the option.
    """
    check_crop(args, 16)
    if 0 < args.train_num_epochs <= args.depth_gradient_from_epoch and args.depth_gradient_weight:
        log.warning(
            "--depth-gradient-from-epoch %d: the run has %d epochs and never comes to it",
            args.depth_gradient_from_epoch,
            args.train_num_epochs,
        )


def network(args: Namespace, *, pretrained: bool = False) -> LapDepth:
    """The network; `pretrained` starts the encoder from ImageNet weights.

    Raises:
        UserError: when the ImageNet weights cannot be fetched.
    """
    from models.lapdepth import LapDepth

    return LapDepth(
        norm=args.model_norm, activation=args.model_activation, max_depth=args.model_depth_max, pretrained=pretrained
    )


def items(args: Namespace) -> Mapping[Purpose, ItemMaker]:
    """Images with their measured depth, and dense depth where gradients are compared with it."""
    from dataloader.measured import measured_items

    return {"depth": measured_items(args, dense=args.depth_gradient_weight > 0)}
