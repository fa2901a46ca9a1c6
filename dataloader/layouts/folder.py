"""Own data: a folder of frames, or of one folder per sequence, and four numbers.

    DIR/<sequence>/<anything><number>.png|jpg      or the images directly in DIR
    DIR/<sequence>/depth/<same stem>.png|npy       optional truth: 16-bit PNG of 1/256 m, or float metres

Frames follow the number in their file name. Where every fifth frame was kept, say, all numbers are multiples of five
apart and neighbours are five apart; where the numbers jump by more, one run of frames ends and another begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from errors import UserError

from ..files import IMAGE_TYPES, image_size
from ..listing import Listing, number_of
from ..samples import DepthSource, Request, Sample, check_intrinsics

DEPTH_FOLDER = "depth"


def folder_samples(request: Request, folder: str, intrinsics: Sequence[float]) -> list[Sample]:
    """Samples of --data-folder; in training those with both neighbours.

    Args:
        request: loader and parts
        folder: the folder with sequences or images
        intrinsics: fx, fy, cx, cy in pixels of the files

    Raises:
        UserError: when the folder is missing or too short, names have no or equal numbers, sizes differ within a
            sequence, or the intrinsics do not fit the images.
    """
    if not folder:
        raise UserError(f"{request.spec.name}: reads own data; pass --data-folder DIR --data-intrinsics fx,fy,cx,cy")
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"--data-folder {folder}: no such folder; pass the folder that holds your sequences")
    if len(intrinsics) != 4:
        raise UserError(f"--data-intrinsics: {len(intrinsics)} numbers; give fx,fy,cx,cy in pixels of the files")
    listing = Listing(root)
    sequences = _sequences(listing)
    samples = [sample for sequence in sequences for sample in _of_sequence(request, listing, sequence, intrinsics)]
    if not samples:
        raise UserError(f"--data-folder {folder}: no frame has the neighbours at offsets {request.spec.frames[1:]}; "
                        "give at least three frames with consecutive numbers")  # fmt: skip
    return samples


def _sequences(listing: Listing) -> list[str]:
    """Folders with images relative to the root, "" for the root itself."""
    folders = ["", *sorted(name for name in listing.names("") if name != DEPTH_FOLDER and not name.startswith("."))]
    found = [folder for folder in folders if _images(listing, folder)]
    if not found:
        kinds = ", ".join(f"*{kind}" for kind in IMAGE_TYPES)
        raise UserError(f"--data-folder {listing.root}: no images ({kinds}) in it or in its subfolders; every "
                        "subfolder is one sequence")  # fmt: skip
    return found


def _images(listing: Listing, folder: str) -> list[str]:
    return [name for name in listing.names(folder) if name.lower().endswith(IMAGE_TYPES) and not name.startswith(".")]


def _numbered(listing: Listing, folder: str) -> dict[int, str]:
    """File names of a sequence by number, ascending."""
    found: dict[int, str] = {}
    for name in sorted(_images(listing, folder)):
        number = number_of(name)
        if number is None:
            raise UserError(f"{listing.root / folder / name}: no number in the file name; number the frames in order")
        if number in found:
            raise UserError(f"{listing.root / folder}: {found[number]} and {name} have the same number; "
                            "keep one, or put them into two folders")  # fmt: skip
        found[number] = name
    return dict(sorted(found.items()))


def _of_sequence(request: Request, listing: Listing, folder: str, intrinsics: Sequence[float]) -> list[Sample]:
    names = _numbered(listing, folder)
    place = listing.root / folder
    step = math.gcd(*(after - before for before, after in pairwise(names))) or 1
    sizes = {image_size(place / name): name for name in names.values()}
    if len(sizes) > 1:
        shown = ", ".join(f"{name} {height} x {width}" for (height, width), name in list(sizes.items())[:2])
        raise UserError(f"{place}: images of different sizes ({shown}, height x width); put each size in a folder of "
                        "its own")  # fmt: skip
    height, width = next(iter(sizes))
    normalised = check_intrinsics("--data-intrinsics", intrinsics, height, width)
    samples = []
    for number, name in names.items():
        images = {offset: names.get(number + offset * step, "") for offset in request.spec.frames}
        if all(images.values()):
            paths = {offset: f"{place}/{image}" for offset, image in images.items()}
            stem = f"{folder}/{Path(name).stem}" if folder else Path(name).stem
            depth = None if request.spec.training else _truth(listing, folder, Path(name).stem)
            samples.append(Sample(stem, paths, normalised, depth=depth))
    return samples


def _truth(listing: Listing, folder: str, stem: str) -> DepthSource | None:
    path = listing.find(f"{folder}/{DEPTH_FOLDER}/{stem}".removeprefix("/"), (".npy", ".png"))
    return DepthSource("array" if path.endswith(".npy") else "map", path) if path else None
