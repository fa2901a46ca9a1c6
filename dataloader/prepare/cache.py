"""Images and labels of a training, decoded and resized once, for ``train.py --data-cache``."""

from __future__ import annotations

import argparse
import os

from dataloader.prepare.training_data import (
    LEAST,
    add_sizes,
    add_sources,
    check_common,
    find_loaders,
    find_samples,
    known_loaders,
    refuse_measured,
)
from dataloader.transforms import FILTERS
from errors import UserError

SUMMARY = "Decode and resize every image of training loaders once, labels included; an interrupted run goes on."
PURPOSES = ("depth", "segmentation")
ABOUT = """
Training fills a cache by itself; this command does so beforehand. Run it again to go on, to renew the pictures of
images that have changed, or to add loaders, sizes and filters: one folder holds them all.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"loaders: {', '.join(known_loaders(PURPOSES))}\n{ABOUT}"
    add = parser.add_argument
    add("loaders", nargs="+", metavar="LOADER", help="training loaders, for depth and for segmentation")
    add(
        "--purpose",
        choices=PURPOSES,
        default="segmentation",
        help="of cityscapes_train, which serves both; default: segmentation",
    )
    add("--out", required=True, metavar="DIR", help="folder of the cache, for --data-cache")
    add_sizes(add)
    add(
        "--filter",
        choices=tuple(FILTERS),
        default="bilinear",
        help="what depth images are resampled with, as the method has it; default: bilinear",
    )
    add(
        "--segmentation-resize-height",
        type=int,
        default=512,
        metavar="HEIGHT",
        help="of labelled images before they are shrunk and cropped, as in training; default: 512",
    )
    add("--segmentation-resize-width", type=int, default=1024, metavar="WIDTH", help="the same; default: 1024")
    add_sources(add)
    add("--workers", type=int, default=0, help="threads that decode; default: 0, one per processor core")


def run(args: argparse.Namespace) -> int:
    """Fill the cache; returns the exit code.

    Raises:
        UserError: a mistake in the options, missing or damaged data, another kind of folder, or too little room on
            the disk.
    """
    from dataloader.cache.data import pictures_of, provide
    from dataloader.cache.teacher import image_root

    specs = find_loaders(args.loaders, sorted(PURPOSES, key=args.purpose.__eq__))  # that one goes last
    refuse_measured(specs, "images keep their size in training with measured depth, no cache holds them")
    check_common(args)
    sizes = {
        "depth": (args.height, args.width),
        "segmentation": (args.segmentation_resize_height, args.segmentation_resize_width),
    }
    if min(sizes["segmentation"]) < LEAST:
        raise UserError(
            "--segmentation-resize-height/-width {} x {}: give what training has, at least {}".format(
                *sizes["segmentation"], LEAST
            )
        )
    pictures = {}
    for spec, samples in find_samples(specs, args):
        root = image_root(spec, args.dataset_dir, args.data_folder)
        # Training resamples labelled images in one way, whatever the method.
        filter = args.filter if spec.purpose == "depth" else "bilinear"
        found = pictures_of(spec, samples, root, sizes[spec.purpose], filter)
        pictures |= dict.fromkeys(found.values())
    provide(args.out, pictures, threads=args.workers or os.cpu_count() or 1, tell=lambda text: print(text, flush=True))
    print(f"{args.out}: complete")
    return 0
