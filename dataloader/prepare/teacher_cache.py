"""Answers of a frozen teacher to all images of a training, for its --teacher-cache and --patch-teacher-cache."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.prepare.training_data import (
    add_sizes,
    add_sources,
    check_common,
    find_loaders,
    find_samples,
    known_loaders,
    refuse_measured,
)
from errors import UserError
from storage.atomic import require_room

if TYPE_CHECKING:
    import torch

    from dataloader.cache.teacher import CachedImage, Recipe
    from dataloader.catalog import LoaderSpec
    from models.teacher import OwnTeacher, Teacher

SUMMARY = (
    "Ask a depth teacher about every image of depth training loaders and keep its answers; an interrupted run goes on."
)
PURPOSES = ("depth",)
PATCH_MULTIPLE = 64
ABOUT = """
image: the teacher sees every image whole; its answer is brought to training resolution. Serves --teacher-cache, and
--patch-teacher-cache with any --patch-size. Recommended. With --mirrored it is also asked about the mirrored image,
which --teacher-gate uncertainty needs.
grid: the teacher sees every candidate patch of the resized image alone, as without a cache. Three to six times larger,
and for one --patch-size only.

Run the same command again to go on, to renew the maps of images that have changed, or to add loaders. Several
processes, on one machine or many, share the work with --share 1/4, --share 2/4 ... and the same --out.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"loaders: {', '.join(known_loaders(PURPOSES))}\n{ABOUT}"
    add = parser.add_argument
    add("loaders", nargs="+", metavar="LOADER", help="depth training loaders, as given to --depth-training-loaders")
    add(
        "--teacher",
        default="dpt-hybrid",
        metavar="NAME",
        help="dpt-hybrid, dpt-large, a weight file, hf:<model>, or a checkpoint of any method; default: dpt-hybrid",
    )
    add(
        "--out", required=True, metavar="DIR", help="folder of the cache, for --teacher-cache and --patch-teacher-cache"
    )
    add("--layout", choices=("image", "grid"), default="image", help="what the teacher is asked about; default: image")
    add("--mirrored", action="store_true", help="for --layout image: also keep the answer to the mirrored image")
    add_sizes(add)
    add("--patch-size", type=int, default=0, help="for --layout grid: as in training; default: 0, 64 per 96 rows")
    add_sources(add)
    add(
        "--checkpoint-dir",
        default=os.environ.get("IFN_DIR_CHECKPOINT", ""),
        metavar="DIR",
        help="folder of all runs, below which --teacher may lie; default: environment variable IFN_DIR_CHECKPOINT",
    )
    add("--share", default="1/1", metavar="K/N", help="take the K-th of N shares, for several processes; default: 1/1")
    add("--batch-size", type=int, default=8, help="images that pass the teacher at once; default: 8")
    add("--workers", type=int, default=0, help="threads that read, and that write; default: 0, one per processor core")
    add("--sys-cpu", action="store_true", help="compute on the CPU even where a GPU is present")


def run(args: argparse.Namespace) -> int:
    """Fill the cache; returns the exit code.

    Raises:
        UserError: a mistake in the options, missing or damaged data, no such teacher, another cache, or too little
            room on the disk.
    """
    specs, (share, shares) = find_loaders(args.loaders, PURPOSES), parse_share(args.share)
    refuse_measured(specs, "it has measured depth, and no method asks a teacher about its images")
    check_sizes(args)
    images = find_images(specs, args)
    import torch

    from dataloader.cache.teacher import CacheWriter
    from dataloader.prepare.teacher_answers import fill

    device = torch.device("cuda" if torch.cuda.is_available() and not args.sys_cpu else "cpu")
    if device.type == "cuda":
        # Maps keep up to 16 bits and bfloat16 has 8; TF32 is the fastest that does not show.
        torch.set_float32_matmul_precision("high")
    teacher = open_teacher(args, device)
    writer = CacheWriter(args.out, make_recipe(args, teacher))
    mine = images[share - 1 :: shares]
    lacking = writer.lacks(mine, thorough=True)
    print(
        f"{args.out}: {len(mine) - len(lacking)} of {len(mine)} maps are there"
        + _room(writer.folder, writer.recipe, len(lacking)),
        flush=True,
    )
    threads = args.workers or os.cpu_count() or 1
    fill(writer, teacher, lacking, device, batch_size=args.batch_size, threads=threads)
    rest = len(writer.lacks(images)) if shares > 1 else 0
    print(
        f"{args.out}: complete"
        if not rest
        else f"{args.out}: share {args.share} is done, {rest} of {len(images)} "
        "maps are missing until the other shares are"
    )
    return 0


def open_teacher(args: argparse.Namespace, device: torch.device) -> Teacher | OwnTeacher:
    """The teacher that is named, on a device.

    Raises:
        UserError: when it is missing, damaged, or no network.
    """
    import arguments
    import state_manager

    given = arguments.parse("eval_depth", ["--checkpoint-dir", args.checkpoint_dir])
    return state_manager.teacher_door(given, device)(
        args.teacher, asked="patches" if args.layout == "grid" else "images"
    )


def parse_share(text: str) -> tuple[int, int]:
    """``2/4`` -> (2, 4).

    Raises:
        UserError: unless it is two such numbers.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    share, shares = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= share <= shares:
        raise UserError(f"--share {text}: give K/N with K from 1 to N, for example 1/2 and 2/2 for two processes")
    return share, shares


def check_sizes(args: argparse.Namespace) -> None:
    """Refuse numbers that training would not have, or that mean nothing.

    Raises:
        UserError: naming the option.
    """
    check_common(args)
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: give a positive number")
    if args.patch_size and args.layout != "grid":
        raise UserError(
            f"--patch-size {args.patch_size}: maps of whole images fit any patch; leave it out, or pass --layout grid"
        )
    if args.mirrored and args.layout != "image":
        raise UserError("--mirrored: patches are not compared with mirrored ones; leave it out, or pass --layout image")
    if args.patch_size < 0 or args.patch_size % PATCH_MULTIPLE:
        raise UserError(f"--patch-size {args.patch_size}: give 0 or a multiple of {PATCH_MULTIPLE}, as in training")


def find_images(specs: Sequence[LoaderSpec], args: argparse.Namespace) -> list[CachedImage]:
    """Predicted frames of all samples that training would have, every one once.

    Raises:
        UserError: data is missing or damaged.
    """
    from dataloader.cache.teacher import cached_image, image_root

    found = {}
    for spec, samples in find_samples(specs, args):
        root = image_root(spec, args.dataset_dir, args.data_folder)
        images = (cached_image(spec, root, sample.images[0]) for sample in samples)
        found |= {image.key: image for image in images}
    return list(found.values())


def make_recipe(args: argparse.Namespace, teacher: Teacher | OwnTeacher) -> Recipe:
    """How the maps are made.

    Raises:
        UserError: no patch fits in an image.
    """
    from dataloader.cache.teacher import Recipe
    from losses.patches.selection import Grid, automatic_size
    from models.dpt.files import OFFICIAL

    name, sha256 = teacher.identity["name"], teacher.identity["sha256"]
    # Training compares published teachers by name; a file that only looks like one does not get it.
    if name in OFFICIAL and not sha256.startswith(OFFICIAL[name].hash):
        name = Path(args.teacher).name
    common = {"height": args.height, "width": args.width, "teacher": name, "sha256": sha256}
    if args.layout == "image":
        return Recipe(layout="image", mirrored=args.mirrored, **common)
    grid = Grid.of(args.height, args.width, args.patch_size)
    if not len(grid):
        raise UserError(
            f"--height {args.height} --width {args.width}: too small for patches of {grid.size} pixels; "
            "pass a smaller --patch-size or larger images"
        )
    return Recipe(
        layout="grid",
        patch_size=grid.size,
        patch_stride=grid.stride,
        patches=len(grid),
        patch_automatic=grid.size == automatic_size(args.height),
        **common,
    )


def _room(folder: Path, recipe: Recipe, count: int) -> str:
    """What is to do and how much room it takes; refuses what the disk cannot hold."""
    smaller = ", or pass --layout image" if recipe.layout == "grid" else ""
    room = require_room(
        folder,
        count * recipe.bytes_per_map,
        f"{count} maps need about {{needed}}, {{free}} are free; make room, choose another disk{smaller}",
    )
    return f", {count} to make: {room}" if count else ""
