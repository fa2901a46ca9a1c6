"""Patch refinement, for training and for use: options to what refines."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable

from torch import nn

from errors import UserError
from losses.patches.refine import PatchRefiner
from losses.patches.selection import Grid
from losses.patches.use import RefinedNetwork
from models import build_teacher

log = logging.getLogger(__name__)


def build_refiner(args: Namespace) -> PatchRefiner:
    """From selection to fusion, as the options say."""
    return PatchRefiner(
        size=args.patch_size,
        maximum=args.patch_max,
        enlarge=args.patch_enlarge,
        blend=args.patch_blend,
        share=args.patch_fusion_weight,
        chunk=args.patch_chunk,
    )


def as_it_is(network: nn.Module) -> nn.Module:
    """A network to which nothing is done."""
    return network


def open_refinement(args: Namespace, prefix: str) -> Callable[[nn.Module], nn.Module]:
    """What ``--patch-refine`` makes of a network, its teacher on the CPU; without it the network stays as it is.

    prefix: of the options ``<prefix>_resize_height`` and ``_width`` with the size of the network's input

    Raises:
        UserError: when images of this size hold no patch, or the teacher cannot be loaded.
    """
    if "patch_refine" not in args:
        return as_it_is
    if not args.patch_refine:
        idle = [f"--{name.replace('_', '-')}" for name in args.said if name.startswith("patch_")]
        if set(idle) - {"--patch-refine"}:
            log.warning("%s: without effect unless --patch-refine is given", ", ".join(idle))
        return as_it_is
    height, width = (getattr(args, f"{prefix}_resize_{side}") for side in ("height", "width"))
    grid = Grid.of(height, width, args.patch_size)
    if not grid:
        flag = f"--{prefix.replace('_', '-')}-resize"
        smaller = (min(height, width) - 1) // 64 * 64
        remedy = f"pass --patch-size {smaller}" if smaller else f"give {flag}-height and -width of at least 96"
        raise UserError(
            f"{flag}-height {height} and -width {width}: too small for --patch-refine; its patches of {grid.size} "
            f"pixels must be smaller on both axes; {remedy}"
        )
    teacher = None if args.patch_teacher == "none" else build_teacher(args.patch_teacher, True, args.fetch)
    return lambda network: RefinedNetwork(network, build_refiner(args), teacher, grid.size)
