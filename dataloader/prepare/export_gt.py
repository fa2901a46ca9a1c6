"""Ground truth of depth as one small file, for ``eval_depth.py --depth-gt FILE``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dataloader.catalog import find_loader
from dataloader.prepare.training_data import add_sources, sources
from errors import UserError
from presets.judging import DEPTH_GT
from presets.own_data import DATA_DEPTH_UNIT
from presets.values import checked
from storage.progress import Progress

if TYPE_CHECKING:
    from dataloader.samples import Sample

SUMMARY = "Keep the ground truth of an evaluation loader in one file of plain arrays, sparse and without pickle."
ABOUT = """
The file says itself what its truth is and which images it is of; evaluation reads it map by map. With --depth-gt FILE
the gt_depths.npz of Monodepth2 is turned into such a file, without executing what it holds; its maps are in the order
of KITTI's test_files.txt, which must lie in its split folder.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    add = parser.add_argument
    add("loader", metavar="LOADER", help="as given to --depth-validation-loaders")
    add("--out", required=True, metavar="FILE", help="file to write, ending in .npz")
    add("--overwrite", action="store_true", help="replace a file that is there")
    add(
        "--depth-gt", default="raw", metavar="KIND", help="raw, improved, or a file to take the maps from; default: raw"
    )
    add(
        "--depth-camera",
        choices=("protocol", "left", "right"),
        default="protocol",
        help="camera of KITTI; default: that of the list",
    )
    add("--as-released", action="store_true", help="KITTI 2015 depth as published")
    add("--data-depth-unit", default="0", metavar="METRES", help="metres per count of the depth of own data")
    add_sources(add)


def run(args: argparse.Namespace) -> int:
    """Write the file; returns the exit code.

    Raises:
        UserError: a mistake in the options, missing or damaged data, or a file that cannot be written.
    """
    from dataloader.integrity import find_damaged, needed, without_damaged
    from dataloader.map_files import write_maps
    from dataloader.splits import resolve, truth_kind, with_truth

    spec, out = find_loader("depth", args.loader), Path(args.out)
    if spec.truth == "server":
        raise UserError(f"{spec.name}: its truth is on a server alone; name another loader")
    if spec.truth == "neighbours":
        raise UserError(f"{spec.name}: it is video without depth; name another loader")
    if out.suffix.lower() != ".npz":
        raise UserError(f"--out {out}: give a name that ends in .npz")
    if out.exists() and not args.overwrite:
        raise UserError(f"--out {out}: is there already; pass --overwrite, or another name")
    options = {
        "depth_gt": checked(DEPTH_GT, args.depth_gt, DEPTH_GT.flag),
        "as_released": args.as_released,
        "data_depth_unit": checked(DATA_DEPTH_UNIT, args.data_depth_unit, DATA_DEPTH_UNIT.flag),
        "depth_camera": args.depth_camera,
    }
    where = sources(args)
    found = resolve(spec, args.dataset_dir, **where, **options)
    samples = with_truth(spec, found)
    faults = find_damaged(path for sample in samples for path in needed(sample))
    samples = without_damaged(spec, samples, faults, where["drop"])
    pixels = write_maps(out, _maps(samples), truth_kind(spec, samples, **options))
    without = len(found) - len(samples)
    note = f", {without} images without truth left out" if without else ""
    print(f"{out}: {len(samples)} maps of {spec.name}, {pixels} pixels, {out.stat().st_size / 1e6:.1f} MB{note}")
    return 0


def _maps(samples: Sequence[Sample]) -> Iterator[tuple[str, np.ndarray]]:
    from dataloader.files import read_depth

    for sample in Progress(samples, "maps", "read truth", len(samples)):
        yield sample.name, read_depth(sample.depth)
