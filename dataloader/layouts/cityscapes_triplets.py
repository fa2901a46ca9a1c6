"""Triplets of Cityscapes: three frames of video in one image, above or beside one another, and the camera beside it.

    <dump>/<city>/<city>_<sequence>_<frame>.png        or .jpg
    <dump>/<city>/<city>_<sequence>_<frame>_cam.txt    fx,0.,cx,0.,fy,cy,0.,0.,1. in pixels of one frame

BDEdepth stacks them vertically, SfMLearner and ManyDepth horizontally; the shape of an image tells which.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from errors import UserError
from storage.ahead import map_shown
from storage.text import read_text

from ..camera import Intrinsics, Size
from ..files import image_size
from ..listing import IMAGE_TYPES, Listing, on_disk
from ..missing import Missing
from ..parts import STACK, UPPER, third
from ..samples import Request, Sample, check_intrinsics
from .cityscapes_depth import read_scenes

log = logging.getLogger(__name__)

FOLDERS = ("cityscapes_triplets", "cityscapes_preprocessed", "cityscapes", "")
"""Where a dump may lie in the data set folder, which may itself be one."""
CAMERA = "_cam.txt"
LIST = "train_files.txt"
THREADS = 16  # waiting for the disk, not computing
REMEDY = "make it with python -m dataloader.prepare cityscapes-triplets"
WIDTHS_PER_HEIGHT = UPPER.of[1] / (UPPER.rows[1] - UPPER.rows[0])
"""Of the part of a frame that triplets hold, 8/3."""


class Dump(NamedTuple):
    """A folder with triplets: where it is, and the cities in it."""

    listing: Listing
    cities: list[str]


class Stack(NamedTuple):
    """How frames lie in a file: along its "rows" or "columns", of (height, width) each."""

    along: str
    size: Size


def find_dump(home: Path) -> Dump | None:
    """The first dump in a data set folder; None where there is none."""
    for folder in FOLDERS:
        listing = Listing(home / folder)
        cities = [name for name in sorted(listing.names("")) if any(map(_is_camera, listing.names(name)))]
        if cities:
            return Dump(listing, cities)
    return None


def _is_camera(name: str) -> bool:
    return name.lower().endswith(CAMERA)


def triplet_samples(request: Request, dump: Dump) -> list[Sample]:
    """Samples of a dump: those of the list in it, else of ``cityscapes/train_files.txt``, else all.

    Raises:
        UserError: when an image is missing or has no three frames, or a camera file is damaged.
    """
    listing = dump.listing
    path = next((path for path in map(on_disk, _lists(request, dump)) if path.is_file()), None)
    if path is None:
        stems = [
            f"{city}/{name[: -len(CAMERA)]}"
            for city in dump.cities
            for name in sorted(filter(_is_camera, listing.names(city)))
        ]
    else:
        stems = [f"{scene.city}/{scene.name}" for scene in read_scenes(path)]
    log.info(
        "  - %s: triplets of %s, %s",
        request.spec.name,
        listing.root,
        f"those of {path}" if path else f"all {len(stems)} of them: there is no {LIST}",
    )
    missing, found = Missing(request), {}
    for stem in stems:
        image, camera = listing.find(stem), listing.file(stem + CAMERA)
        there = {f"{stem}{IMAGE_TYPES[0]}": bool(image), f"{stem}{CAMERA}": bool(camera)}
        if not missing.note(f"{listing.root}/{each}" for each, exists in there.items() if not exists):
            found[stem] = (image, camera)
    missing.check(path or listing.root, REMEDY, len(found))
    return _samples(found)


def _lists(request: Request, dump: Dump) -> tuple[Path, Path]:
    return dump.listing.root / LIST, request.dataset_dir / "cityscapes" / LIST


def _samples(found: dict[str, tuple[str, str]]) -> list[Sample]:
    """One sample per pair of an image and its camera file."""
    images, cameras = zip(*found.values(), strict=True)
    with ThreadPoolExecutor(THREADS) as pool:
        stacks = [*map_shown(pool, _stack_or_none, images, "look at triplets", "images")]
        usual = next((stack for stack in stacks if stack), None) or _stack(images[0])
        stacks = [stack or usual for stack in stacks]  # whoever reads the image says what is wrong with it
        known = list(pool.map(read_triplet_camera, cameras, (stack.size for stack in stacks)))
        _doubt(cameras, known)
        return [
            Sample(Path(stem).name, _frames(image, stack.along), intrinsics, measured=True)
            for stem, image, stack, intrinsics in zip(found, images, stacks, known, strict=True)
        ]


def _doubt(cameras: Sequence[str], known: Sequence[Intrinsics]) -> None:
    """Warn of cameras of larger images: a dump scales them by the size of those it had, which may have been reduced."""
    odd = [path for path, (_, _, cx, cy) in zip(cameras, known, strict=True) if not (0 < cx < 1 and 0 < cy < 1)]
    if odd:
        log.warning(
            "%s: its principal point lies outside the image, as in %d of %d camera files; were the frames of full size "
            "when the triplets were made? make them again from such",
            odd[0],
            len(odd),
            len(known),
        )


def _frames(image: str, along: str) -> dict[int, str]:
    return {offset: third(image, along, offset + 1) for offset in (0, -1, 1)}


def _stack_or_none(image: str) -> Stack | None:
    """How frames lie in a file; None where its size cannot be read."""
    try:
        size = image_size(image)
    except UserError:
        return None
    return stack_of(image, size)


def _stack(image: str) -> Stack:
    return stack_of(image, image_size(image))


def stack_of(image: str, size: Size) -> Stack:
    """How three frames lie in a file of (height, width), by the shape that they would have; `image` is its name.

    Raises:
        UserError: when three frames of one size do not fill it.
    """
    height, width = size
    along = "rows" if width < WIDTHS_PER_HEIGHT * height else "columns"
    if (height if along == "rows" else width) % STACK:
        raise UserError(
            f"{image}: {height} x {width} (height x width) is no triplet: three frames of one size do not fill it; "
            f"{REMEDY}"
        )
    return Stack(along, (height // STACK, width) if along == "rows" else (height, width // STACK))


def read_triplet_camera(path: str, size: Size) -> Intrinsics:
    """Intrinsics of frames of (height, width), divided by that, from the text file beside a triplet.

    Raises:
        UserError: when it cannot be read, or these are not the nine numbers of a camera matrix.
    """
    try:
        values = [float(word) for word in read_text(Path(path)).replace(",", " ").split()]
    except (OSError, ValueError) as fault:
        raise UserError(f"{path}: cannot read the camera ({fault}); {REMEDY}") from fault
    if len(values) != 9 or any(values[place] for place in (1, 3, 6, 7)) or values[8] != 1:
        raise UserError(f"{path}: not a camera matrix of nine numbers, fx,0,cx,0,fy,cy,0,0,1; {REMEDY}")
    return check_intrinsics(path, (values[0], values[4], values[2], values[5]), *size, remedy=REMEDY, any_crop=True)
