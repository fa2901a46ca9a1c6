"""Options of SGDepth to its network and its data."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from errors import UserError

if TYPE_CHECKING:
    from dataloader.catalog import Purpose
    from dataloader.items import ItemMaker
    from models.sgdepth import SGDepth

log = logging.getLogger(__name__)
NO_SAMPLING_RES = 10000  # the default of an option that never had an effect


def check(args: Namespace) -> None:
    """What only a training of SGDepth can get wrong.

    Raises:
        UserError: naming the options.
    """
    masking = {"--masking-enable": "--no-masking-enable"} if args.masking_enable else {}
    check_segmentation(args, masking)
    warn_of_late(args, {"masking": args.masking_enable})


def check_segmentation(args: Namespace, asking: Mapping[str, str]) -> None:
    """What needs a segmentation, and of which classes.

    asking: option that needs one -> what leaves it out

    Raises:
        UserError: naming the options.
    """
    if asking and not args.segmentation_training_loaders:
        raise UserError(
            f"{' and '.join(asking)}: a trained segmentation is needed; name --segmentation-training-loaders, or pass "
            f"{' '.join(asking.values())}"
        )
    wrong = [ident for ident in args.masking_classes if not 0 <= ident < args.model_num_classes]
    if args.masking_enable and wrong:
        raise UserError(
            f"--masking-classes {wrong[0]}: not a class of this network; give ids of 0 to {args.model_num_classes - 1}"
        )
    if args.depth_min_sampling_res != NO_SAMPLING_RES:
        log.warning(
            "--depth-min-sampling-res %d has no effect; every resolution is compared at full size",
            args.depth_min_sampling_res,
        )


def warn_of_late(args: Namespace, parts: Mapping[str, bool]) -> None:
    """Say which parts of a recipe a training never comes to; `parts`: prefix of ``_from_epoch`` -> whether wanted."""
    late = [
        f"--{name.replace('_', '-')}-from-epoch {epoch}"
        for name, wanted in parts.items()
        if wanted and (epoch := getattr(args, f"{name}_from_epoch")) >= args.train_num_epochs
    ]
    if late:
        log.warning("%s: never reached with --train-num-epochs %d", ", ".join(late), args.train_num_epochs)


def network(args: Namespace, *, pretrained: bool = False) -> SGDepth:
    """The network; `pretrained` starts both encoders from ImageNet weights.

    Raises:
        UserError: when the ImageNet weights cannot be fetched.
    """
    return sgdepth(args, pretrained, attention={})


def sgdepth(args: Namespace, pretrained: bool, attention: Mapping[str, object]) -> SGDepth:
    """The network of the options, with the attention of SGDEM or without."""
    from models.sgdepth import SGDepth

    return SGDepth(
        layers=args.model_num_layers,
        pose_layers=args.model_num_layers_pose,
        split_pos=args.model_split_pos,
        resolutions=args.model_depth_resolutions,
        num_classes=args.model_num_classes,
        disparity_bias=args.model_disparity_bias,
        grad_scales=(
            getattr(args, "train_depth_grad_scale", 1.0),  # options of training only
            getattr(args, "train_segmentation_grad_scale", 1.0),
        ),
        depth_range=(args.model_depth_min, args.model_depth_max),
        pretrained=pretrained,
        attention=attention,
    )


def items(args: Namespace) -> Mapping[Purpose, ItemMaker]:
    """Triplets of video for depth, labelled images for segmentation."""
    from dataloader.items import labelled_items, video_items

    return {"depth": video_items(args), "segmentation": labelled_items(args)}
