"""Options of SGDEM to its network and its data."""

from __future__ import annotations

import logging
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UserError, closest
from methods.sgdepth.build import check_segmentation, items, sgdepth, warn_of_late

if TYPE_CHECKING:
    from models.sgdepth import SGDepth

__all__ = ["check", "items", "network"]
log = logging.getLogger(__name__)
CITYSCAPES_CLASSES = 20  # with background
USUAL_WEIGHT = {"boundary": 0.01, "triplet": 0.1, "plane": 0.1}  # to begin with; no more is known of them


def check(args: Namespace) -> None:
    """What only a training of SGDEM can get wrong.

    Raises:
        UserError: naming the options.
    """
    if args.model_attention_gain and args.model_attention == "none":
        raise UserError(
            "--model-attention-gain: there is nothing to weigh with --model-attention none; give another one or "
            "--no-model-attention-gain"
        )
    consistency = f"--sd-consistency-weight {args.sd_consistency_weight:g}" if args.sd_consistency_weight > 0 else ""
    asking = {"--masking-enable": "--no-masking-enable"} if args.masking_enable else {}
    check_segmentation(args, asking | ({consistency: "--sd-consistency-weight 0"} if consistency else {}))
    if consistency and args.model_num_classes != CITYSCAPES_CLASSES:
        raise UserError(
            f"{consistency}: knows the classes of Cityscapes only; pass 0 with --model-num-classes "
            f"{args.model_num_classes}"
        )
    _warn_of_consistency(args, bool(consistency))
    if args.patch_distill and args.depth_training_loaders:
        _check_patches(args)
    sizes = (args.depth_training_batch_size, args.segmentation_training_batch_size)
    loaders = (args.depth_training_loaders, args.segmentation_training_loaders)
    if args.model_aspp and sum(size * len(names) for size, names in zip(sizes, loaders, strict=True)) < 2:
        raise UserError("--model-aspp: normalises over a batch and needs two images in it; raise the batch size")
    parts = {"sd_consistency": bool(consistency), "patch": args.patch_distill, "masking": args.masking_enable}
    warn_of_late(args, parts)
    if args.patch_teacher_cache and not args.patch_distill:
        log.warning("--patch-teacher-cache: not used without --patch-distill")


def _warn_of_consistency(args: Namespace, wanted: bool) -> None:
    """What looks as if it did something else, and a weight that was made for another loss."""
    variant = args.sd_consistency_variant
    if not wanted:
        for name in ("sd_consistency_variant", "sd_consistency_margin"):
            if name in args.said:
                log.warning("--%s: without effect with --sd-consistency-weight 0", name.replace("_", "-"))
        return
    if "sd_consistency_margin" in args.said and variant != "triplet":
        log.warning("--sd-consistency-margin: without effect unless --sd-consistency-variant is triplet")
    if variant in USUAL_WEIGHT and "sd_consistency_weight" not in args.said:
        log.warning(
            "--sd-consistency-variant %s: the weight of %g is meant for decided; give --sd-consistency-weight, %g to "
            "begin with",
            variant,
            args.sd_consistency_weight,
            USUAL_WEIGHT[variant],
        )


def _check_patches(args: Namespace) -> None:
    """What patch distillation can get wrong before any teacher is loaded."""
    from losses.patches.selection import Grid
    from models.self_teacher import KINDS

    first, last = args.patch_from_epoch, args.patch_until_epoch
    if first >= last:
        raise UserError(
            f"--patch-from-epoch {first}: must be below --patch-until-epoch {last}; pass --no-patch-distill to train "
            "without patches"
        )
    height, width = args.depth_resize_height, args.depth_resize_width
    grid = Grid.of(height, width, args.patch_size)
    if not grid:
        raise UserError(
            f"--patch-size {grid.size}: no such patch fits into the {height}x{width} network input (it must be larger "
            "than the patch); lower it, raise --depth-resize-*, or pass --no-patch-distill"
        )
    if args.patch_teacher_cache and args.patch_teacher == "none":
        raise UserError(
            f"--patch-teacher-cache {args.patch_teacher_cache}: --patch-teacher is none; give the teacher the cache "
            "was made with, or leave the cache out"
        )
    own = args.patch_self_teacher
    if own not in KINDS and not (Path(args.checkpoint_dir) / own).exists():
        raise UserError(
            f"--patch-self-teacher {own}: no checkpoint of that name, nor one of {', '.join(KINDS)}"
            f"{closest(own, KINDS)}; give one of these or the path of a checkpoint"
        )


def network(args: Namespace, *, pretrained: bool = False) -> SGDepth:
    """SGDepth with attention; `pretrained` starts both encoders from ImageNet weights.

    Raises:
        UserError: when the ImageNet weights cannot be fetched.
    """
    attention = {
        "variant": args.model_attention,
        "strips": args.model_attention_strips,
        "gain": args.model_attention_gain,
        "aspp": args.model_aspp,
    }
    return sgdepth(args, pretrained, attention)
