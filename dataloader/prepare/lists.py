"""Lists of images with their depth maps, made from what is on disk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.catalog import LOADERS, LoaderSpec
from dataloader.nyu_files import is_member
from dataloader.prepare.put import put
from dataloader.prepare.training_data import add_dataset_dir
from errors import UserError, closest

if TYPE_CHECKING:
    from dataloader.samples import Sample

SUMMARY = "Write the list of a loader from what is on disk, so that a training keeps its samples when files are added."
PLACES = {
    "kitti_annotated_train": "kitti_annotated_split/train_files.txt",
    "kitti_annotated_test": "kitti_annotated_split/test_files.txt",
    "nyu_v2_train": "nyu_v2/train_files.txt",
    "nyu_v2_test": "nyu_v2/test_files.txt",
}
ABOUT = """
Lines are '<image> <depth map>', as BTS and LapDepth have them, and '<image> <depth map> <map without gaps>' for NYU
where the third is there. The depth map is None where an image of a test set has none. Without such lists the loaders
take all that is on disk, and say so:
  """ + "\n  ".join(f"{name}: {place}" for name, place in PLACES.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    parser.add_argument("loaders", nargs="+", metavar="LOADER", help=f"any of {', '.join(PLACES)}")
    add_dataset_dir(parser.add_argument)
    parser.add_argument("--out", default="", metavar="DIR", help="write below DIR, not into the data set folder")
    parser.add_argument("--overwrite", action="store_true", help="replace lists that are there")


def run(args: argparse.Namespace) -> int:
    """Write the list of every loader; returns the exit code.

    Raises:
        UserError: another loader, missing data, or a list that is there.
    """
    from dataloader.splits import resolve

    out = Path(args.out or args.dataset_dir)
    for name in args.loaders:
        if name not in PLACES:
            raise UserError(
                f"{name}: no loader with such a list{closest(name, PLACES)}; choose from {', '.join(PLACES)}"
            )
        path = out / PLACES[name]
        if path.exists() and not args.overwrite:
            raise UserError(f"{path}: is there already; pass --overwrite to replace it, or --out for another place")
    for name in args.loaders:
        spec, path = LOADERS["depth", name], out / PLACES[name]
        samples = [each for each in resolve(spec, args.dataset_dir, listed=False) if each.depth or not spec.training]
        if not samples:
            raise UserError(f"{name}: none of its images has a depth map; unpack them beside the images")
        if any(is_member(sample.images[0]) for sample in samples):
            raise UserError(
                f"{name}: its images lie in the .mat file; extract them with python -m dataloader.prepare nyu"
            )
        put(path, "".join(f"{_line(spec, sample)}\n" for sample in samples).encode())
        without = sum(sample.depth is None for sample in samples)
        print(f"{path}: {len(samples)} images of {name}" + (f", {without} of them without depth" if without else ""))
    return 0


def _line(spec: LoaderSpec, sample: Sample) -> str:
    image = Path(sample.images[0])
    if spec.dataset == "kitti":
        drive, camera, number = sample.name.rsplit("/", 2)
        depth = f"{drive.rpartition('/')[2]}/proj_depth/groundtruth/{camera}/{number}.png"
        return f"{drive}/{camera}/data/{image.name} {depth if sample.depth else None}"
    scene = image.parent.name
    maps = [f"{scene}/{Path(sample.depth.path).name}" if sample.depth else "None"]
    if sample.dense:
        maps.append(f"{scene}/{'/'.join(Path(sample.dense.path).parts[-2:])}")
    return " ".join([f"{scene}/{image.name}", *maps])
