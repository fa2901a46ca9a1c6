"""Test or training images of NYU Depth v2, taken out of the labelled .mat file."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from dataloader.layouts.nyu import FOLDER, LABELLED, find_splits, numbers_of_part
from dataloader.listing import Listing
from dataloader.nyu_files import count_labelled, member, read_depth, read_picture, scene_types
from dataloader.prepare.put import put
from dataloader.prepare.training_data import add_dataset_dir
from errors import UserError
from storage.progress import Progress

PLACES = {"test": "official_splits/test", "train": "official_splits/train"}
SUMMARY = "Extract the test images of NYU Depth v2 from the labelled .mat file, as BTS and its heirs do."
ABOUT = f"""
Writes nyu_v2/{PLACES["test"]}/<kind of room>/: rgb_<number>.jpg, black outside rows 7 to 474 and columns 7 to 632;
sync_depth_<number>.png, what the Kinect measured; dense/sync_depth_dense_<number>.png, the same in-painted. Depth in
millimetres, truncated, 16 bit. Numbers are those of the .mat file from 0. What is there already stays, so that an
interrupted run goes on.
"""
MILLIMETRES = np.float32(1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    add_dataset_dir(parser.add_argument, f"data set folder with {FOLDER}/{LABELLED}")
    parser.add_argument(
        "--part",
        choices=PLACES,
        default="test",
        help=f"the 654 images of the test, or the 795 for training, into {PLACES['train']}; default: test",
    )
    parser.add_argument("--mat", default="", metavar="FILE", help=f"{LABELLED}, where it lies elsewhere")
    parser.add_argument("--splits", default="", metavar="FILE", help="splits.mat, where it does not lie beside it")
    parser.add_argument(
        "--out", default="", metavar="DIR", help="data set folder to write into; default: that of --dataset-dir"
    )


def run(args: argparse.Namespace) -> int:
    """Write what is missing; returns the exit code.

    Raises:
        UserError: a mistake in the options, missing or damaged files, or a folder that cannot be written.
    """
    source = _source(args)
    out = args.out or args.dataset_dir
    if not out:
        raise UserError("--out: not given, and no --dataset-dir either; say where to write")
    count = count_labelled(source)
    rooms = scene_types(source, count)
    numbers = numbers_of_part(args.splits or find_splits(Listing(Path(source).parent), source), count, args.part)
    folder = Path(out) / FOLDER / PLACES[args.part]
    written = 0
    for number in Progress(numbers, "images", "extract", len(numbers)):
        written += _extract(source, number, folder / rooms[number])
    print(f"{folder}: {len(numbers)} images, {written} of them extracted now")
    return 0


def _source(args: argparse.Namespace) -> str:
    if args.mat:
        return args.mat
    if not args.dataset_dir:
        raise UserError(f"--mat: not given, and no --dataset-dir either; name {LABELLED}")
    place = Path(args.dataset_dir) / FOLDER
    found = Listing(place).file(LABELLED)
    if not found:
        raise UserError(f"{place}: no {LABELLED} there; fetch it, or name it with --mat")
    return found


def _extract(source: str, number: int, folder: Path) -> bool:
    """Write the files of one image that are missing; returns whether there were any."""
    makers = {
        folder / f"rgb_{number:05d}.jpg": lambda: _jpeg(source, number),
        folder / f"sync_depth_{number:05d}.png": lambda: _png(source, "rawDepths", number),
        folder / f"dense/sync_depth_dense_{number:05d}.png": lambda: _png(source, "depths", number),
    }
    missing = {path: make for path, make in makers.items() if not path.is_file()}
    for path, make in missing.items():
        put(path, make())
    return bool(missing)


def _jpeg(source: str, number: int) -> bytes:
    picture = np.asarray(read_picture(member(source, "images", number)))
    return cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()


def _png(source: str, name: str, number: int) -> bytes:
    counts = read_depth(member(source, name, number)) * MILLIMETRES
    return cv2.imencode(".png", np.where(counts < 1 << 16, counts, 0).astype(np.uint16))[1].tobytes()
