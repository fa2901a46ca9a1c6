"""Index files in the published JSON format, made from what is on disk."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataloader.prepare.columns import (
    Column,
    basic_content,
    make_columns,
    number_frames,
    parameters_content,
    split_content,
)
from dataloader.prepare.put import put
from dataloader.prepare.scan import KINDS, Key, scan
from dataloader.prepare.split_sources import KEPT, Source, kitti_sources
from dataloader.prepare.training_data import add_dataset_dir
from dataloader.prepare.values import Values, cityscapes_values, kitti_values
from errors import UserError, closest
from storage.atomic import is_writable

SUMMARY = "Write index files in the published JSON format for what is on disk, complete or not."

FOLDERS = {"train": ("training", "train"), "validation": ("testing", "val"), "test": ("testing", "test")}
SHOWN = 3
ABOUT = f"""
kitti: basic_files.json and parameters.json, and train.json, validation.json, test.json in every
kitti_<split>_split folder, from its text lists (train_files.txt, val_files.txt, test_files.txt; directly or
in splits/), else from the index files that are there. A frame of either camera in a list brings in both, as
in the published files. Listed frames that are not on disk are left out and counted. Right camera, depth,
calibration, oxts and poses are taken in where they are. Loaders prefer index files to text lists.

kitti_2015: train = training, validation = test = testing; the first image of every pair, which has the truth.

cityscapes: the folders train, val and test of leftImg8bit, gtFine and, where unpacked, rightImg8bit,
disparity and camera.

With --overwrite the files that are replaced are kept as *.json{KEPT} (the first version only), and a split without
text list is made from those, so that the command can be run again when more data has arrived.
parameters.json holds what users edit: it is never replaced.
"""

Contents = dict[str, dict[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help=f"any of {', '.join(KINDS)}")
    add_dataset_dir(parser.add_argument)
    parser.add_argument("--out", default="", metavar="DIR", help="write below DIR, not into the data set folder")
    parser.add_argument("--overwrite", action="store_true", help="replace index files that are there")


def run(args: argparse.Namespace) -> int:
    """Write the index of every data set asked for; returns the exit code.

    Raises:
        UserError: unknown data set, no images, no lists, or index files that would be replaced.
    """
    for name in args.datasets:
        if name not in KINDS:
            raise UserError(f"{name}: no data set of that name{closest(name, KINDS)}; choose from {', '.join(KINDS)}")
    if not args.dataset_dir:
        raise UserError("no data set folder; pass --dataset-dir or set IFN_DIR_DATASET")
    home = Path(args.dataset_dir)
    for name in args.datasets:
        contents = build(home, name)
        write(contents, Path(args.out or home), args.overwrite)
    return 0


def build(home: Path, dataset: str) -> Contents:
    """Content of all index files of a data set, by path below the data set folder.

    Raises:
        UserError: the folder or all its images are missing, or a list or a file of values is damaged.
    """
    root = home / dataset
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; put or link the data set there, or correct --dataset-dir")
    sources = list(kitti_sources(home)) if dataset == "kitti" else []
    found = scan(root, KINDS[dataset])
    if not found["color"]:
        raise UserError(f"{root}: no left colour images where {dataset} has them; unpack its archives there")
    ids = number_frames(found["color"])
    columns = make_columns(KINDS[dataset], found, _values(dataset, root, found, sources), ids)
    print(f"{root}: " + ", ".join(f"{len(column.files)} {column.name}" for column in columns))
    parts = _listed(home, sources, columns, ids) if dataset == "kitti" else _by_folder(root, columns, ids)
    splits = [folder for folder in dict.fromkeys(target.partition("/")[0] for target in parts) if folder != dataset]
    parameters = parameters_content(dataset, [folder.removeprefix("kitti_") for folder in splits])
    # What splits refer to comes last: while it is missing, a run that was interrupted is not taken for a whole one.
    return {f"{dataset}/parameters.json": parameters, **parts, f"{dataset}/basic_files.json": basic_content(columns)}


def _values(dataset: str, root: Path, found: dict[str, dict[Key, str]], sources: Sequence[Source]) -> list[Values]:
    if dataset == "kitti":
        return kitti_values(root, found["color"], found["color_right"], _odometry_drives(sources))
    return cityscapes_values(root, found["color"]) if dataset == "cityscapes" else []


def _odometry_drives(sources: Sequence[Source]) -> dict[str, str]:
    """Drive of every odometry sequence that has a test list of its own."""
    drives = {}
    for source in sources:
        if source.target.startswith("kitti_odom") and source.target.endswith("/test.json") and source.keys:
            sequence = source.target.removeprefix("kitti_odom").partition("_")[0]
            drives[sequence] = next(iter(source.keys))[0]
    return drives


def _listed(home: Path, sources: Sequence[Source], columns: Sequence[Column], ids: dict[Key, int]) -> Contents:
    """Index files of the KITTI splits, for the listed frames that are on disk."""
    contents: Contents = {}
    alone = {row[0] for row in columns[0].positions if not (row[1] and row[2])}
    for source in sources:
        keys = source.keys
        chosen = {ids[key] for key in keys if key in ids}
        missing = [frame.name for key, frame in keys.items() if key not in ids]
        report = f"{source.target}: {len(source.frames)} entries of {source.path.name}, {len(chosen)} frames"
        if missing:
            report += f"; {len(missing)} not on disk ({', '.join(missing[:SHOWN])}{' ...' if missing[SHOWN:] else ''})"
        if lonely := len(chosen & alone):
            report += f"; {lonely} without both neighbours, left out in training"
        if chosen or (home / source.target).is_file():  # an old index would not fit the new numbering
            contents[source.target] = split_content(columns, chosen)
        else:
            report += "; not written"
        print(report)
    return contents


def _by_folder(root: Path, columns: Sequence[Column], ids: dict[Key, int]) -> Contents:
    """Index files of a data set whose folders are its parts."""
    contents: Contents = {}
    first = min(number for _, number in ids) if root.name == "kitti_2015" else None
    for part, folders in FOLDERS.items():
        chosen = {
            place
            for (sequence, number), place in ids.items()
            if sequence.partition("/")[0] in folders and first in (None, number)
        }
        if chosen or (root / f"{part}.json").is_file():
            contents[f"{root.name}/{part}.json"] = split_content(columns, chosen)
        print(f"{root.name}/{part}.json: {len(chosen)} frames{'' if chosen else '; not written'}")
    return contents


def write(contents: Contents, out: Path, overwrite: bool) -> None:
    """Put index files in their places, each whole or not at all.

    Raises:
        UserError: files that differ are there and `overwrite` is off (nothing is written then), or no permission.
    """
    encoded = {out / name: json.dumps(content).encode() for name, content in contents.items()}
    locked = [path.parent for path in encoded if path.parent.is_dir() and not is_writable(path.parent)]
    if locked:
        raise UserError(f"{locked[0].resolve()}: is read-only; pass --out for another place")
    there = {path: path.read_bytes() for path in encoded if path.is_file()}
    changed = [path for path in there if there[path] != encoded[path] and path.name != "parameters.json"]
    if changed and not overwrite:
        raise UserError(
            f"{changed[0]}: {len(changed)} index files are there and differ; pass --overwrite to replace "
            "them (the old ones are kept), or --out for another place"
        )
    for path in changed:
        kept = path.with_name(path.name + KEPT)
        if not kept.exists():
            put(kept, there[path])
    for path, content in encoded.items():
        if path not in there or path in changed:
            put(path, content)
            print(f"{path}: written")
