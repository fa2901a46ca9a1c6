"""Own data: a folder of frames, or of one folder per sequence, and four numbers.

    DIR/<sequence>/<anything><number>.png|jpg      or the images directly in DIR
    DIR/<sequence>/depth/<same stem>.png|npy       optional truth: 16-bit PNG of 1/256 m, or float metres

The numbers in the file names order the frames of a sequence (see `numbering`); neighbours are the frames before and
after, however far apart their numbers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from errors import UserError

from ..companions import companion
from ..files import image_size
from ..listing import IMAGE_TYPES, Listing
from ..numbering import in_order
from ..samples import NO_CAMERA, DepthSource, Request, Sample, check_intrinsics

DEPTH_FOLDER = "depth"


def folder_samples(request: Request, folder: str, intrinsics: Sequence[float]) -> list[Sample]:
    """Samples of --data-folder: every frame, in training every one but the first and the last of a sequence.

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
    needless = request.spec.training and not request.spec.video  # depth that was measured needs no camera
    if len(intrinsics) != 4 and not (needless and not intrinsics):
        raise UserError(f"--data-intrinsics: {len(intrinsics)} numbers; give fx,fy,cx,cy in pixels of the files")
    listing = Listing(root)
    sequences = find_sequences(listing)
    samples = [sample for sequence in sequences for sample in _of_sequence(request, listing, sequence, intrinsics)]
    if not samples:
        raise UserError(
            f"--data-folder {folder}: no frame has one before and one after it; put at least three frames "
            "into a subfolder"
        )
    return samples


def find_sequences(listing: Listing) -> list[str]:
    """Folders with images relative to the root, "" for the root itself."""
    folders = ["", *sorted(name for name in listing.names("") if name != DEPTH_FOLDER and not name.startswith("."))]
    found = [folder for folder in folders if _images(listing, folder)]
    if not found:
        kinds = ", ".join(f"*{kind}" for kind in IMAGE_TYPES)
        raise UserError(
            f"--data-folder {listing.root}: no images ({kinds}) in it or in its subfolders; every "
            "subfolder is one sequence"
        )
    return found


def _images(listing: Listing, folder: str) -> list[str]:
    return [name for name in listing.names(folder) if name.lower().endswith(IMAGE_TYPES) and not name.startswith(".")]


def ordered_frames(listing: Listing, folder: str) -> list[str]:
    """File names of a sequence in the order of their numbers; raises `UserError` as `in_order`."""
    return in_order(listing.root / folder, _images(listing, folder))


def _of_sequence(request: Request, listing: Listing, folder: str, intrinsics: Sequence[float]) -> list[Sample]:
    names = ordered_frames(listing, folder)
    place = listing.root / folder
    size = _common_size(request, place, names)
    normalised = check_intrinsics("--data-intrinsics", intrinsics, *size) if intrinsics else NO_CAMERA
    samples = []
    for index, name in enumerate(names):
        if not all(0 <= index + offset < len(names) for offset in request.spec.frames):
            continue
        images = {offset: f"{place}/{names[index + offset]}" for offset in request.spec.frames}
        stem = f"{folder}/{Path(name).stem}" if folder else Path(name).stem
        depth = _truth(listing, folder, Path(name).stem) if request.spec.needs_truth else None
        maps = {kind: companion(listing, depth, kind) for kind in ("dense", "base")}
        samples.append(Sample(stem, images, normalised, depth=depth, measured=True, **maps))
    return samples


def _common_size(request: Request, place: Path, names: Sequence[str]) -> tuple[int, int]:
    """(height, width) of all images of a sequence.

    With `request.drop` or `request.skip`, unreadable images pass here: they keep their place in the order, and every
    sample that needs one is left out or replaced later.
    """
    different: dict[tuple[int, int], str] = {}
    faults = []
    for name in names:
        try:
            different[image_size(place / name)] = name
        except UserError as fault:
            faults.append(fault)
    if faults and not ((request.drop or request.skip) and different):
        raise faults[0]
    if len(different) > 1:
        shown = ", ".join(f"{name} {height} x {width}" for (height, width), name in list(different.items())[:2])
        raise UserError(
            f"{place}: images of different sizes ({shown}, height x width); put each size in a folder of its own"
        )
    return next(iter(different))


def _truth(listing: Listing, folder: str, stem: str) -> DepthSource | None:
    path = listing.find(f"{folder}/{DEPTH_FOLDER}/{stem}".removeprefix("/"), (".npy", ".png"))
    return DepthSource("array" if path.lower().endswith(".npy") else "map", path) if path else None
