"""DIML/CVL: images and depth maps in folders that tell by their names what is in them.

    .../color/<name>_c.png        .../depth_filled/<name>_depth_filled.png      indoor, Kinect v2
    .../outleft/<name>.png        .../depthmap/<name>.png                       outdoor, stereo

Depth is 16-bit PNG in millimetres.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from errors import UserError

from ..listing import Listing, refuse_unlisted
from ..samples import NO_CAMERA, DepthSource, Request, Sample

MILLIMETRE = 1e-3
HIGH, LOW = "HR", "LR"
DEEPEST = 8  # folders below `diml`


class Pairing(NamedTuple):
    """Neighbouring folders, and how the names in them end."""

    images: str
    depth: str
    image_end: str = ""
    depth_end: str = ""


PAIRINGS = {
    "indoor": Pairing("color", "depth_filled", "_c", "_depth_filled"),
    "outdoor": Pairing("outleft", "depthmap"),
}


def diml_samples(request: Request) -> list[Sample]:
    """All images of one part, `request.spec.split` "indoor" or "outdoor", with their depth where there is one.

    Where the download has a folder ``test``, only that counts. Images that are there in both resolutions count once,
    in the higher one.

    Raises:
        UserError: when there is no folder, or no such image in it.
    """
    root = request.folder("diml", "unpack or link DIML/CVL")
    pairing, listing = PAIRINGS[request.spec.split], Listing(root)
    folders = _folders(root, pairing)
    samples = {}
    for folder in sorted(folders, key=lambda folder: LOW in folder.parts):
        for sample in _of_folder(listing, folder, pairing):
            samples.setdefault(_without_resolution(sample.name), sample)
    if not samples:
        raise UserError(
            f"{root}: no images in folders '{pairing.images}' beside '{pairing.depth}'; unpack the "
            f"{request.spec.split} part of DIML/CVL there"
        )
    return [samples[name] for name in sorted(samples)]


def _folders(root: Path, pairing: Pairing) -> list[PurePosixPath]:
    """Folders, relative to the root, that hold both folders of a pairing."""
    found = []
    for place, names, _ in os.walk(root, onerror=refuse_unlisted, followlinks=True):
        folder = PurePosixPath(Path(place).relative_to(root).as_posix())
        if {pairing.images, pairing.depth} <= {*names}:
            found.append(folder)
        leaves = {name for each in PAIRINGS.values() for name in (each.images, each.depth)}
        names[:] = sorted(name for name in names if name not in leaves) if len(folder.parts) < DEEPEST else []
    tests = [folder for folder in found if "test" in map(str.lower, folder.parts)]
    return tests or found


def _of_folder(listing: Listing, folder: PurePosixPath, pairing: Pairing) -> Iterator[Sample]:
    images, depths = (f"{folder}/{name}".removeprefix("./") for name in (pairing.images, pairing.depth))
    for stem, image in listing.images(images).items():
        if not stem.endswith(pairing.image_end):
            continue
        short = stem.removesuffix(pairing.image_end)
        path = listing.find(f"{depths}/{short}{pairing.depth_end}", (".png",))
        depth = DepthSource("map", path, unit=MILLIMETRE) if path else None
        yield Sample(f"{folder}/{short}".removeprefix("./"), {0: image}, NO_CAMERA, depth=depth)


def _without_resolution(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in (HIGH, LOW))
