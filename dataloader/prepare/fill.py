"""Depth without gaps and its smooth base, beside the depth maps of a loader, for methods that train with both."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dataloader.catalog import LOADERS, LoaderSpec
from dataloader.companions import companion_path
from dataloader.files import read_counts, read_depth, read_image
from dataloader.prepare.dense_depth import filled, smoothed
from dataloader.prepare.put import put
from dataloader.prepare.training_data import add_sources, find_samples
from dataloader.samples import DepthSource
from dataloader.truth import misfit
from errors import UserError, closest
from storage.atomic import make_writable
from storage.progress import Progress
from street.workers import run_jobs

if TYPE_CHECKING:
    from dataloader.samples import Sample

SUMMARY = "Fill the gaps of depth maps after their images, and smooth the result; an interrupted run goes on."
ABOUT = """
For <folder>/<map>.png it writes <folder>/dense/<map>.png, where what was measured stays and gaps take their depth from
pixels of similar grey (Levin et al. 2004, as in the toolbox of NYU Depth v2), and <folder>/base/<map>.png, smooth but
for its edges (Farbman et al. 2008). Maps of NYU are called dense/sync_depth_dense_<number>.png and so on. All are
16-bit PNG in the unit of their depth map. Maps without gaps that are there already are used as they are.
"""
UNITS = {"uint_16": 1 / 256, "normalized_100": 1 / 100}  # metres per count
NYU, NYU_ALPHA, ALPHA = "nyu_v2", 0.8, 1.0
LEAST = 3  # pixels of a side, so that there are neighbours on either side
NOTHING = 10.0  # metres, which the toolbox of NYU Depth v2 takes for no measurement


def fillable() -> dict[str, LoaderSpec]:
    """Loaders of single images with depth, by name."""
    specs = [spec for spec in LOADERS.values() if spec.purpose == "depth" and spec.truth != "dense"]
    return {spec.name: spec for spec in specs if spec.needs_truth}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"loaders: {', '.join(fillable())}\n{ABOUT}"
    add = parser.add_argument
    add("loaders", nargs="+", metavar="LOADER", help="whose depth maps are filled")
    add(
        "--alpha",
        type=float,
        default=0.0,
        help=f"how much measured depth weighs against its neighbours; default: 0, {NYU_ALPHA:g} for NYU and {ALPHA:g} "
        "for others",
    )
    add("--lambda", type=float, default=1.0, dest="strength", metavar="L", help="smoothness of the base; default: 1")
    add("--out", default="", metavar="DIR", help="write below DIR, where data sets lie as in the data set folder")
    add_sources(add)
    add("--workers", type=int, default=0, help="processes; default: 0, one per processor core")


@dataclass(frozen=True)
class Frame:
    """One image, its depth map, and where the filled and the smooth one lie, or will.

    hollow: depth of `NOTHING` was not measured
    """

    image: str
    depth: DepthSource
    paths: tuple[Path, Path]
    hollow: bool

    @property
    def unit(self) -> float:
        """Metres per count of its maps."""
        return self.depth.unit or UNITS[self.depth.mode]


def run(args: argparse.Namespace) -> int:
    """Make what is missing; returns the exit code.

    Raises:
        UserError: a mistake in the options, missing or damaged data, a map that cannot be written.
    """
    known = fillable()
    for name in args.loaders:
        if name not in known:
            raise UserError(
                f"{name}: no loader of images with depth{closest(name, known)}; choose from {', '.join(known)}"
            )
    if args.workers < 0:
        raise UserError(f"--workers {args.workers}: give 0 for one per core, or a positive number")
    for flag, value, least in (("--alpha", args.alpha, "0 or more"), ("--lambda", args.strength, "0 or more")):
        if not (0 <= value < float("inf")):
            raise UserError(f"{flag} {value:g}: give {least}")
    if args.out:
        make_writable(Path(args.out), "choose another --out")
    for spec, samples in find_samples([known[name] for name in args.loaders], args):
        _fill(spec, samples, args)
    return 0


def _fill(spec: LoaderSpec, samples: list[Sample], args: argparse.Namespace) -> None:
    """Make the maps of one loader."""
    frames = list({frame.paths: frame for frame in map(lambda each: _frame(spec, each, args), samples)}.values())
    lacking = [frame for frame in frames if not all(path.is_file() for path in frame.paths)]
    alpha = args.alpha or (NYU_ALPHA if spec.dataset == NYU else ALPHA)
    print(
        f"{spec.name}: {len(frames) - len(lacking)} of {len(frames)} frames are done, {len(lacking)} to fill",
        flush=True,
    )
    if lacking and spec.dataset == NYU:
        print(
            f"{spec.name}: depth of exactly {NOTHING:g} m counts as none, as in the toolbox of the data set", flush=True
        )
    empty = 0
    with Progress(unit="frames", title=spec.name, total=len(lacking)) as bar:

        def report(made: int) -> None:
            nonlocal empty
            empty += not made
            bar.update()

        jobs = [(fill_frame, (frame, alpha, args.strength)) for frame in lacking]
        run_jobs(jobs, args.workers or os.cpu_count() or 1, report)
    without = f"; {empty} frames without any measurement were left out" if empty else ""
    print(f"{spec.name}: complete{without}", flush=True)


def _frame(spec: LoaderSpec, sample: Sample, args: argparse.Namespace) -> Frame:
    depth = sample.depth
    if depth.kind != "map" or not (depth.unit or depth.mode in UNITS):
        raise UserError(
            f"{depth.path}: no 16-bit PNG in metres, beside which others could lie; extract the depth maps first"
        )
    paths = [Path(companion_path(depth.path, kind)) for kind in ("dense", "base")]
    if args.out:
        root = Path(args.data_folder if spec.dataset == "folder" else args.dataset_dir).absolute()
        paths = [Path(args.out) / os.path.relpath(path.absolute(), root) for path in paths]
    if sample.dense:  # with --out, or where a list says so, it lies elsewhere
        paths[0] = Path(sample.dense.path)
    return Frame(sample.images[0], depth, tuple(paths), hollow=spec.dataset == NYU)


def fill_frame(frame: Frame, alpha: float, strength: float, check: Callable[[], None] = lambda: None) -> int:
    """Write the maps of one frame that are not there; 0 where nothing was measured, else 1.

    The filled one is written last: a base is made of it as it is before it is rounded, also after an interruption.

    check: called between steps; what it raises ends the work

    Raises:
        UserError: a damaged file, a depth map of another size than its image or of nearly no pixels, or a map that
            cannot be written.
    """
    dense_path, base_path = frame.paths
    done = dense_path.is_file()
    if done:
        dense = read_depth(replace(frame.depth, path=str(dense_path))).astype(np.float64)
        _require_neighbours(dense_path, dense)
    else:
        counts, image = read_counts(frame.depth.path), read_image(Path(frame.image))
        if counts.shape != image.shape[:2]:
            raise UserError(misfit(frame.depth.path, counts.shape, frame.image, image.shape))
        _require_neighbours(frame.depth.path, counts)
        if frame.hollow:
            counts = np.where(counts == round(NOTHING / frame.unit), 0, counts)
        if not counts.any():
            return 0
        dense = filled(image / 255, counts * frame.unit, alpha)
    check()
    if not base_path.is_file():
        _write(base_path, smoothed(dense, strength), frame.unit)
    if not done:
        _write(dense_path, dense, frame.unit)
    return 1


def _require_neighbours(path: str | Path, depth: np.ndarray) -> None:
    if min(depth.shape) < LEAST:
        height, width = depth.shape
        raise UserError(
            f"{path}: {height} x {width} (height x width), and gaps are filled from {LEAST} x {LEAST} pixels on; leave "
            "the frame out"
        )


def _write(path: Path, depth: np.ndarray, unit: float) -> None:
    """Write metres as a 16-bit PNG; what has a depth keeps one."""
    counts = np.clip(np.rint(depth / unit), depth > 0, (1 << 16) - 1)
    put(path, cv2.imencode(".png", counts.astype(np.uint16))[1].tobytes())
