"""Video of Cityscapes for training of depth: every frame with those two before and after it, as downloaded.

cityscapes/leftImg8bit_sequence/train/<city>/<city>_<sequence>_<frame>_leftImg8bit.png
cityscapes/camera/train/<city>/<city>_<sequence>_<frame>_camera.json      of one frame of every snippet
cityscapes/train_files.txt                                                optional: which frames
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from errors import UserError

from ..calibration import STEREO_REMEDY, read_camera
from ..camera import Intrinsics, Size
from ..files import image_size
from ..listing import IMAGE_TYPES, Listing, on_disk
from ..missing import Missing
from ..parts import UPPER, upper
from ..samples import Request, Sample, check_intrinsics
from .cityscapes import FOLDER_OF
from .cityscapes_depth import LIST_REMEDY, read_scenes
from .cityscapes_triplets import LIST, find_dump, triplet_samples

log = logging.getLogger(__name__)

SEQUENCES = "leftImg8bit_sequence"
GAP = 2
"""Frames of the camera from one frame of a sample to the next, at 17 Hz."""
ANNOTATED = 19  # frame of most snippets that has a camera file
FULL_SIZE = UPPER.of
THREADS = 16  # waiting for the disk, not computing
REMEDY = "unpack leftImg8bit_sequence_trainvaltest.zip and camera_trainvaltest.zip there"
_FRAME = re.compile(
    r"(?P<sequence>[A-Za-z-]+_\d{6})_(?P<number>\d{6})_(?:leftImg8bit\.(?i:png|jpe?g)|camera\.(?i:json))"
)

Numbered = dict[str, dict[int, str]]
"""Files relative to the data set by sequence, such as aachen_000000, and number of the frame."""


class Shot(NamedTuple):
    """One sample: the sequence, the number of its predicted frame, and its three frames in their order."""

    sequence: str
    number: int
    frames: tuple[str, str, str]

    @property
    def name(self) -> str:
        """Such as aachen_000000_000019."""
        return f"{self.sequence}_{self.number:06d}"


def cityscapes_video_samples(request: Request) -> list[Sample]:
    """Samples of `cityscapes_train` for depth: from a dump of triplets where there is one, else from the download.

    Networks see the upper three quarters of a frame; intrinsics are those of its camera file.

    Raises:
        UserError: when there is neither, a listed frame or a camera is missing, or a camera file is damaged.
    """
    dump = find_dump(request.dataset_dir)
    if dump is not None:
        return triplet_samples(request, dump)
    root, part = request.folder("cityscapes", "unpack or link Cityscapes"), FOLDER_OF[request.spec.part]
    listing = Listing(root)
    frames, path = find_frames(listing, part), on_disk(root / LIST)
    if not frames:
        raise UserError(f"{root}: no images in {SEQUENCES}/{part}; {REMEDY}")
    missing = Missing(request)
    if path.is_file():
        shots = _listed(listing, part, frames, path, missing)
    else:
        shots = complete_shots(frames)
        log.info(
            "  - %s: there is no %s, so all %d frames count that have one %d before and %d after them; the published "
            "list has 69731 of them: %s",
            request.spec.name, path, len(shots), GAP, GAP, LIST_REMEDY,
        )  # fmt: skip
    cameras = Cameras(listing, part)
    found = []
    for shot in shots:
        camera = cameras.of(shot)
        if not missing.note([] if camera else [f"{root}/{cameras.expected(shot)}"]):
            found.append((shot, camera))
    missing.check(path if path.is_file() else root, REMEDY, len(found))
    if not found:
        raise UserError(f"{root}: no frame in {SEQUENCES}/{part} has one {GAP} before and {GAP} after it; {REMEDY}")
    known = _intrinsics_of(root, found)
    return [_sample(root, shot, known[camera]) for shot, camera in found]


def find_frames(listing: Listing, part: str) -> Numbered:
    """Images of a part, a PNG where a frame has several files."""
    return _numbered(listing, f"{SEQUENCES}/{part}", IMAGE_TYPES)


def _numbered(listing: Listing, folder: str, types: tuple[str, ...]) -> Numbered:
    found: Numbered = {}
    for city in sorted(listing.names(folder)):
        names = (name for name in listing.names(f"{folder}/{city}") if name.lower().endswith(types))
        for name in sorted(names, key=lambda name: (not name.lower().endswith(types[0]), name)):
            match = _FRAME.fullmatch(name)
            if match:
                found.setdefault(match["sequence"], {}).setdefault(int(match["number"]), f"{folder}/{city}/{name}")
    return found


def complete_shots(frames: Numbered) -> list[Shot]:
    """Every frame that has one before and one after it, by sequence and number."""
    return [
        Shot(sequence, number, tuple(files[place] for place in _places(number)))
        for sequence, files in sorted(frames.items())
        for number in sorted(files)
        if all(place in files for place in _places(number))
    ]


def _places(number: int) -> tuple[int, int, int]:
    return number - GAP, number, number + GAP


def _listed(listing: Listing, part: str, frames: Numbered, path: Path, missing: Missing) -> list[Shot]:
    """The frames of a list in its order; those that lack an image are noted."""
    shots = []
    for scene in read_scenes(path):
        sequence, _, number = scene.name.rpartition("_")
        files, places = frames.get(sequence, {}), _places(int(number))
        folder = f"{listing.root}/{SEQUENCES}/{part}/{scene.city}"
        absent = [f"{folder}/{sequence}_{place:06d}_leftImg8bit.png" for place in places if place not in files]
        if not missing.note(absent):
            shots.append(Shot(sequence, int(number), tuple(files[place] for place in places)))
    return shots


class Cameras:
    """Camera files of one part: one frame of every snippet has one, which is that of the frames around it."""

    def __init__(self, listing: Listing, part: str):
        self._folder = f"camera/{part}"
        self._files = _numbered(listing, self._folder, (".json",))

    def of(self, shot: Shot) -> str:
        """Camera file of a frame relative to the data set, the nearest of its sequence; empty where there is none."""
        files = self._files.get(shot.sequence)
        return files[min(files, key=lambda number: abs(number - shot.number))] if files else ""

    def expected(self, shot: Shot) -> str:
        """Where the camera file of a frame should lie that has none."""
        city = shot.sequence.rpartition("_")[0]
        return f"{self._folder}/{city}/{shot.sequence}_{ANNOTATED:06d}_camera.json"


def _intrinsics_of(root: Path, found: Iterable[tuple[Shot, str]]) -> dict[str, Intrinsics]:
    """Intrinsics of the upper three quarters by camera file; an image of each tells the size of those around it."""
    images = {camera: shot.frames[1] for shot, camera in found}
    with ThreadPoolExecutor(THREADS) as pool:
        values = pool.map(lambda pair: _intrinsics(root / pair[0], root / pair[1]), images.items())
        return dict(zip(images, values, strict=True))


def _intrinsics(camera: Path, image: Path) -> Intrinsics:
    values = read_camera(camera)
    try:
        size = image_size(image)
    except UserError:  # whoever reads the image says what is wrong with it
        size = FULL_SIZE
    height, width = nearest_size(values, size)
    return UPPER.intrinsics(check_intrinsics(str(camera), values, height, width, STEREO_REMEDY), FULL_SIZE)


def nearest_size(camera: tuple[float, ...], size: Size) -> Size:
    """(height, width) of the images that a camera file is of: of full size, or as these are.

    Files are as published where images were resized, so the size counts whose centre is nearer to that of the camera.
    """
    _, _, cx, cy = camera
    return min((size, FULL_SIZE), key=lambda each: abs(cx / each[1] - 0.5) + abs(cy / each[0] - 0.5))


def _sample(root: Path, shot: Shot, intrinsics: Intrinsics) -> Sample:
    before, own, after = (upper(f"{root}/{frame}") for frame in shot.frames)
    return Sample(shot.name, {0: own, -1: before, 1: after}, intrinsics, measured=True)
