"""Depth of Cityscapes: the maps published with ManyDepth in the order of their list, or the official disparity."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from errors import UserError

from ..listing import IMAGE_TYPES, Listing, on_disk
from ..lists import read_lines
from ..missing import Missing
from ..parameters import read_parameters
from ..samples import DepthSource, Request, Sample
from .cityscapes import FOLDER_OF

log = logging.getLogger(__name__)

LIST = "test_files.txt"
MAPS = "gt_depths"
IMAGES = ("leftImg8bit_sequence", "leftImg8bit")
ANNOTATED = "000019"  # frame of a snippet that has labels and disparity
_SCENE = re.compile(r"(?P<city>[A-Za-z-]+)_[0-9]{6}_[0-9]{6}")
REMEDY = "unpack leftImg8bit_trainvaltest.zip or leftImg8bit_sequence_trainvaltest.zip there"
LIST_REMEDY = "fetch it with python -m dataloader.prepare splits cityscapes --out DATASET_DIR"


class Scene(NamedTuple):
    """One frame: city, and name such as berlin_000000_000019."""

    city: str
    name: str


def cityscapes_depth_samples(request: Request) -> list[Sample]:
    """Images of one part with their depth, which is None where an image has none.

    ``test_files.txt`` says which images, and which of them ``gt_depths/<line>_depth.npy`` belongs to. Without it these
    are the frames with annotations, and depth comes from the disparity maps.

    Raises:
        UserError: when the folder or a listed image is missing, the part holds no image, or a line names none.
    """
    root = request.folder("cityscapes", "unpack or link Cityscapes")
    listing, parameters = Listing(root), read_parameters(root, "cityscapes")
    part, path = FOLDER_OF[request.spec.part], on_disk(root / LIST)
    listed = path.is_file()
    scenes = read_scenes(path) if listed else _annotated(listing, part)
    truth = _truth_of(listing, part, len(scenes), listed)
    missing, samples = Missing(request), []
    for place, scene in enumerate(scenes):
        stem = f"{part}/{scene.city}/{scene.name}_leftImg8bit"
        image = next((found for folder in IMAGES if (found := listing.find(f"{folder}/{stem}"))), "")
        if not missing.note([] if image else [f"{root}/{IMAGES[1]}/{stem}.png"]):
            samples.append(Sample(scene.name, {0: image}, parameters.intrinsics, depth=truth(place, scene)))
    missing.check(path, REMEDY, len(samples))
    if not samples:
        raise UserError(f"{root}: no images in {' or '.join(f'{folder}/{part}' for folder in IMAGES)}; {REMEDY}")
    without = [sample.name for sample in samples if of_usual_camera(sample.depth)]
    if without:
        log.warning(
            "%s/camera/%s: no camera file for %d of %d images, such as %s; baseline and focal length of the usual "
            "camera make their depth, which may be 6 %% off; unpack camera_trainvaltest.zip there",
            root,
            part,
            len(without),
            len(samples),
            without[0],
        )
    return samples


def of_usual_camera(depth: DepthSource | None) -> bool:
    """Whether depth is made of a disparity whose own camera nobody knows."""
    return depth is not None and depth.kind == "stereo" and not depth.calibration


def read_scenes(path: Path) -> list[Scene]:
    """Lines ``<city> <city>_<sequence>_<frame>``, or the path of the image; blank ones do not count."""
    scenes = []
    for number, line in read_lines(path, LIST_REMEDY, f"{LIST_REMEDY}, or delete it to use what is there"):
        name = Path(line.split()[-1].replace("\\", "/")).name
        match = _SCENE.match(name)
        if match is None or len(line.split()) > 2:
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} is not '<city> <city>_<sequence>_<frame>'; {LIST_REMEDY}"
            )
        scenes.append(Scene(match["city"], match[0]))
    return scenes


def _annotated(listing: Listing, part: str) -> list[Scene]:
    found = {
        Scene(city, match[0])
        for folder in IMAGES
        for city in listing.names(f"{folder}/{part}")
        for name in listing.names(f"{folder}/{part}/{city}")
        if (match := _SCENE.match(name)) and name.lower().endswith(IMAGE_TYPES) and match[0].endswith(ANNOTATED)
    }
    return sorted(found)


def _truth_of(listing: Listing, part: str, count: int, listed: bool) -> Callable[[int, Scene], DepthSource | None]:
    """What gives the depth of a scene in its place on the list: all of it is of one kind."""
    maps = [name for name in listing.names(MAPS) if name.endswith("_depth.npy")]
    if listed and maps:
        if len(maps) != count:
            log.warning(
                "%s/%s: %d maps for %d lines of %s; the lines decide which map belongs to an image, so it must be the "
                "published list",
                listing.root,
                MAPS,
                len(maps),
                count,
                LIST,
            )
        return lambda place, _: _stored(listing, place)
    if maps:
        log.warning(
            "%s/%s: not used, only %s tells to which images its maps belong; %s", listing.root, MAPS, LIST, LIST_REMEDY
        )
    return lambda _, scene: _computed(listing, part, scene)


def _stored(listing: Listing, place: int) -> DepthSource | None:
    path = listing.file(f"{MAPS}/{place:03d}_depth.npy")
    return DepthSource("array", path) if path else None


def _computed(listing: Listing, part: str, scene: Scene) -> DepthSource | None:
    path = listing.find(f"disparity/{part}/{scene.city}/{scene.name}_disparity", (".png",))
    if not path:
        return None
    camera = listing.find(f"camera/{part}/{scene.city}/{scene.name}_camera", (".json",))
    return DepthSource("stereo", path, calibration=camera)
