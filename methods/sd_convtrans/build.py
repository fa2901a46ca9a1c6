"""Options of SD-ConvTrans to its network and its data."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    from dataloader.catalog import Purpose
    from dataloader.items import ItemMaker
    from models.sd_convtrans import SDConvTrans

log = logging.getLogger(__name__)


def check(args: Namespace) -> None:
    """Refuse weights of the transformer that would not be used.

    Raises:
        UserError: naming the options.
    """
    if not args.model_transformer_weights:
        return
    given = f"--model-transformer-weights {args.model_transformer_weights}"
    if not args.model_transformer:
        raise UserError(f"{given}: and --no-model-transformer leaves the transformer out; give one of them")
    if args.train_weights_init == "scratch":
        raise UserError(f"{given} and --train-weights-init scratch: one is trained, the other random; leave one out")
    if args.model_load:
        raise UserError(f"{given} and --model-load {args.model_load}: both bring weights; leave one out")


def network(args: Namespace, *, pretrained: bool = False) -> SDConvTrans:
    """The network; `pretrained` starts the ResNet from ImageNet, and the transformer from its weights if there are any.

    Raises:
        UserError: when weights cannot be fetched or read, or are of another network.
    """
    from models.sd_convtrans import SDConvTrans

    weights = args.model_transformer_weights if pretrained else ""
    if pretrained and args.model_transformer and not weights:
        log.info(
            "the transformer begins with random weights; --model-transformer-weights gives it those of a file, such as "
            "mit_b0.pth of SegFormer"
        )
    elif getattr(args, "train_weights_init", "") == "scratch" and not args.model_load and args.resume == "never":
        log.info("the whole network begins with random weights, as --train-weights-init scratch says")
    return SDConvTrans(
        layers=args.model_num_layers,
        max_depth=args.model_depth_max,
        input_norm=args.input_norm,
        kernel=args.diffusion_kernel,
        with_transformer=args.model_transformer,
        sees=args.model_input,
        pretrained=pretrained,
        transformer_weights=weights,
    )


def items(args: Namespace) -> Mapping[Purpose, ItemMaker]:
    """Images in two sizes with their depth, measured, filled and smoothed."""
    from dataloader.measured import measured_items
    from models.sd_convtrans.network import SHARE

    size = (args.depth_resize_height, args.depth_resize_width)
    # Filled depth is cut off at the largest one only when it has the size of the output.
    return {"depth": measured_items(args, resize=size, dense=True, dense_max=math.inf, base=True, low=SHARE)}
