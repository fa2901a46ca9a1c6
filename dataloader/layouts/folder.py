"""Own data: a folder of frames, or of folders of them, however deep, and four numbers.

    DIR/<sequence>/<anything><number>.png|jpg|...  or the images directly in DIR
    DIR/<sequence>/depth/<same stem>.png|npy       optional truth: 16-bit PNG of 1/256 m, or float metres
    DIR/<sequence>/intrinsics.txt                  optional, or in a folder above; also COLMAP's cameras.txt
    DIR/<video>.mp4|mov|...                        a sequence, once its frames were taken out of it

Every folder with images is one sequence. A video is left out where the folder of its name beside it has images. The
numbers in the file names order the frames of a sequence (see `numbering`); neighbours are the frames before and after,
however far apart their numbers are.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from presets.depth_data import DEPTH_SIZE
from storage.cameras import COLMAP, INTRINSICS, alike, find_camera, in_pixels, unit_of
from storage.frames import are_complete, place_of
from storage.kinds import DEPTH_FOLDER, VIDEOS, image_suffixes

from ..camera import doubts, in_words
from ..catalog import LoaderSpec
from ..companions import companion
from ..files import image_size
from ..listing import Listing, refuse_unlisted, visible
from ..numbering import in_order
from ..samples import NO_CAMERA, DepthSource, Request, Sample, check_intrinsics
from ..shape import shape_doubt

log = logging.getLogger(__name__)

GIVEN = "--data-intrinsics"
MOST_TOLD = 5  # cameras
Intrinsics = tuple[float, float, float, float]


@dataclass(frozen=True)
class OwnData:
    """What the user says of own data.

    folder:           with sequences, images or videos, or a video
    intrinsics:       fx, fy, cx, cy in pixels of the files, or none
    depth_unit:       metres per count of its depth; 0: 1/256 in PNG, 1 in arrays of floats
    frame_step:       how many frames away neighbours are
    validation_share: of every sequence, at its end, that is for validation and not for training
    """

    folder: str = ""
    intrinsics: Sequence[float] = ()
    depth_unit: float = 0.0
    frame_step: int = 1
    validation_share: float = 0.0


def folder_samples(request: Request, own: OwnData) -> list[Sample]:
    """Samples of --data-folder: every frame, in training on video every one that has its neighbours.

    Raises:
        UserError: when the folder is missing or too short, names have no or equal numbers, sizes differ within a
            sequence, or the intrinsics do not fit the images.
    """
    spec = request.spec
    if not own.folder:
        raise UserError(f"{spec.name}: reads own data; pass --data-folder DIR, the folder of your sequences or a video")
    if len(own.intrinsics) not in (0, 4):
        raise UserError(f"{GIVEN}: {len(own.intrinsics)} numbers; give fx,fy,cx,cy in pixels of the files")
    if spec.part == "validation" and not own.validation_share:
        raise UserError(
            f"{spec.name}: the share of own data that is kept for it is 0; pass --data-validation-share 0.1, in "
            "training, too"
        )
    found = find_sequences(own.folder, request.cache_folder)
    samples = [sample for sequence in found for sample in _of_sequence(request, sequence, own)]
    if not samples and spec.part == "validation":
        raise UserError(
            f"--data-validation-share {own.validation_share:g}: no sequence of {own.folder} is so long that this is a "
            "frame; give a larger share"
        )
    if not samples:
        step = f"; --frame-step {own.frame_step} takes {2 * own.frame_step + 1}" if own.frame_step > 1 else ""
        kept = ", besides those of --data-validation-share" if own.validation_share else ""
        raise UserError(
            f"--data-folder {own.folder}: no frame has one before and one after it; put at least three frames "
            f"into a subfolder{kept}{step}"
        )
    return samples


def tell_own(spec: LoaderSpec, samples: Sequence[Sample], network: tuple[int, ...] = ()) -> None:
    """Say which cameras own data have and where that is written; warn of what cannot be right.

    network: (height, width) to which whole images are resized; () where they are not
    """
    seen = {(sample.camera, sample.intrinsics): sample for sample in samples if sample.camera}
    sizes = {}
    for camera, intrinsics in seen:
        try:
            size = image_size(seen[camera, intrinsics].images[0])
        except UserError:  # which is told, or passed over, elsewhere
            continue
        sizes[size] = None
        if len(sizes) <= MOST_TOLD:
            log.info("  - %s: %s: %s", spec.name, camera, in_words(intrinsics, size))
        for doubt in doubts(intrinsics, size):
            log.warning("%s: %s", camera, doubt)
    for size in sizes if network else ():
        if doubt := shape_doubt(size, network, DEPTH_SIZE[0].multiple):
            log.warning("%s: %s", spec.name, doubt)


@dataclass(frozen=True)
class Recording:
    """Frames that follow each other.

    name:    of the folder or video, relative to --data-folder; "" for that itself
    listing: of the folder with the images
    homes:   folders where its camera may be written, the nearest first
    """

    name: str
    listing: Listing
    homes: tuple[Path, ...]

    @property
    def place(self) -> Path:
        """The folder with the images."""
        return self.listing.root

    def frames(self) -> list[str]:
        """File names in the order of their numbers; raises `UserError` as `in_order`."""
        return in_order(self.place, _images(self.listing))


def find_sequences(folder: str, cache_folder: str = "") -> list[Recording]:
    """Folders with images, and videos, in the order of their names.

    folder:       --data-folder
    cache_folder: below which frames of videos were kept; empty for nowhere

    Raises:
        UserError: when there are none, or the frames of a video are not there.
    """
    found = []
    for place, videos in _places(folder):
        listing, root = Listing(place), _root(folder)
        homes = (place, *(each for each in place.parents if each == root or root in each.parents))
        if not Path(folder).is_file() and _images(listing):
            found.append(Recording(_relative(root, place), listing, homes))
        found += [
            Recording(_relative(root, video), Listing(_taken_out(video, cache_folder)), homes) for video in videos
        ]
    if not found:
        kinds = ", ".join(f"*{kind}" for kind in image_suffixes())
        raise UserError(
            f"--data-folder {folder}: no images ({kinds}) in it or in its subfolders, and no videos; every "
            "folder with images is one sequence"
        )
    return found


def find_videos(folder: str) -> list[Path]:
    """Videos whose frames are wanted; none where there is no such folder."""
    return [video for _, videos in _places(folder) for video in videos] if os.path.exists(folder) else []


def _places(folder: str) -> Iterator[tuple[Path, list[Path]]]:
    """Folders that may hold frames, each once, links as well, with the videos in them that are sequences."""
    root = Path(folder)
    if root.is_file() and root.suffix.lower() in VIDEOS:
        yield root.parent, [root]
        return
    if not root.is_dir():
        what = "neither a folder nor a video" if root.exists() else "no such folder"
        raise UserError(f"--data-folder {folder}: {what}; pass the folder that holds your sequences, or a video")
    met = set()
    for name, folders, files in os.walk(root, onerror=refuse_unlisted, followlinks=True):
        real, place = os.path.realpath(name), Path(name)
        known = real in met
        met.add(real)
        folders[:] = [] if known else sorted(name for name in visible(folders) if name != DEPTH_FOLDER)
        if not known:
            names = sorted(name for name in visible(files) if name.lower().endswith(VIDEOS))
            yield place, [place / name for name in names if not _images(Listing(place / Path(name).stem))]


def _root(folder: str) -> Path:
    return Path(folder).parent if Path(folder).is_file() else Path(folder)


def _relative(root: Path, place: Path) -> str:
    return place.relative_to(root).as_posix().removeprefix(".")


def _taken_out(video: Path, cache_folder: str) -> Path:
    """Folder with the frames of a video; raises `UserError` where they are not there."""
    place = place_of(video, Path(cache_folder)) if cache_folder else None
    if place is None or not are_complete(place):
        raise UserError(
            f"{video}: a video whose frames were not taken out yet; python -m dataloader.prepare frames {video} --out "
            f"{video.with_suffix('')} does so"
        )
    return place


def _images(listing: Listing) -> list[str]:
    suffixes = image_suffixes()
    return [name for name in listing.names("") if name.lower().endswith(suffixes)]


def _of_sequence(request: Request, sequence: Recording, own: OwnData) -> list[Sample]:
    spec, names, place = request.spec, sequence.frames(), sequence.place
    size = _common_size(request, place, names)
    intrinsics, camera = _camera(sequence.homes, size, own.intrinsics)
    if spec.video and not camera:
        raise UserError(
            f"{GIVEN}: 0 numbers; give fx,fy,cx,cy in pixels of the files, or write them into "
            f"{sequence.homes[0] / INTRINSICS} "
            f"(or let COLMAP write {COLMAP[0]} there)"
        )
    samples = []
    for index in _part(len(names), request, own):
        name = names[index]
        images = {offset: f"{place}/{names[index + offset * own.frame_step]}" for offset in spec.frames}
        stem = f"{sequence.name}/{Path(name).stem}".removeprefix("/")
        depth = _truth(sequence.listing, Path(name).stem) if spec.needs_truth else None
        maps = {kind: companion(sequence.listing, depth, kind) for kind in ("dense", "base")}
        samples.append(Sample(stem, images, intrinsics, depth=depth, measured=bool(camera), camera=camera, **maps))
    return samples


def _part(count: int, request: Request, own: OwnData) -> range:
    """Places of the frames of a sequence of `count` that a loader predicts, all of whose neighbours are in its part."""
    kept = int(count * own.validation_share + 0.5)
    match request.spec.part:
        case "train":
            first, end = 0, count - kept
        case "validation":
            first, end = count - kept, count
        case _:
            first, end = 0, count
    reach = own.frame_step if request.spec.video else 0
    return range(first + reach, end - reach)


def _camera(homes: Sequence[Path], size: tuple[int, int], given: Sequence[float]) -> tuple[Intrinsics, str]:
    """Normalised intrinsics of a sequence, and where they are written; `NO_CAMERA` and "" where nobody tells.

    Raises:
        UserError: when they cannot belong to images of (height, width) `size`, or two places tell different ones.
    """
    found = find_camera(homes, size)
    if given:
        normalised = check_intrinsics(GIVEN, given, *size)
        _require_pixels(given, size)
        if found and not alike(found.in_pixels(size), given):
            raise UserError(
                f"{found.place}: tells another camera than {GIVEN} {_shown(given)}, at {size[0]} x {size[1]} (height "
                f"x width) {_shown(found.in_pixels(size))}; leave the option out, or the file"
            )
        return normalised, f"{GIVEN} fx,fy,cx,cy, in pixels of the files"
    if not found:
        return NO_CAMERA, ""
    if found.doubt:
        _warn(found.doubt)
    shape = size if found.unit == "pixels" else (1, 1)
    words = "in pixels of the files" if found.unit == "pixels" else "divided by width and height"
    normalised = check_intrinsics(str(found.place), found.values, *shape, f"give fx fy cx cy {words}")
    return normalised, f"{found.place}, {words}"


def _require_pixels(given: Sequence[float], size: tuple[int, int]) -> None:
    """Raises `UserError` where numbers were divided by the size of the images already, all or some of them."""
    unit = unit_of(given)
    if unit == "normalised":
        raise UserError(
            f"{GIVEN} {_shown(given)}: these are divided by width and height; in pixels of the files, {size[0]} x "
            f"{size[1]} (height x width), they are {_shown(in_pixels(given, size))}: give those"
        )
    if unit is None:
        raise UserError(
            f"{GIVEN} {_shown(given)}: neither all pixels nor all divided by width and height; give fx,fy,cx,cy in "
            "pixels of the files"
        )


def _shown(values: Sequence[float]) -> str:
    return ",".join(f"{value:.7g}" for value in values)


@functools.cache
def _warn(sentence: str) -> None:
    """Once, however many sequences have that camera."""
    log.warning("%s", sentence)


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


def _truth(listing: Listing, stem: str) -> DepthSource | None:
    path = listing.find(f"{DEPTH_FOLDER}/{stem}", (".npy", ".png"))
    return DepthSource("array" if path.lower().endswith(".npy") else "map", path) if path else None
