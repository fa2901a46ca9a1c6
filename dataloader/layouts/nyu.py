"""NYU Depth v2: the test images as BTS extracts them, the labelled .mat file itself, or StructDepth's .h5 files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from errors import UserError

from ..listing import IMAGE_TYPES, Listing, on_disk
from ..matlab import read_numbers
from ..missing import Missing
from ..nyu_files import count_labelled, member, scene_types
from ..pairs import read_pairs
from ..parameters import Parameters, read_parameters
from ..samples import DepthSource, Request, Sample

FOLDER, HOW = "nyu_v2", "put or link NYU Depth v2"
LABELLED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
EXTRACTED = ("official_splits/test", "nyu_depth_v2/official_splits/test", "test")
LIST = "test_files.txt"
MILLIMETRE = 0.001
STRUCT_TEST = "nyu_test"
RELATIVE = ("official_splits/test/", "test/")  # what lists may write before the folder of a kind of room


def nyu_samples(request: Request) -> list[Sample]:
    """The test images with what the Kinect measured; the extracted ones where they are there, else the .mat file.

    Raises:
        UserError: when neither is there, or a listed image is missing.
    """
    root = request.folder(FOLDER, HOW)
    listing, parameters = Listing(root), read_parameters(root, FOLDER)
    place = next((place for place in EXTRACTED if listing.names(place)), "")
    labelled = listing.file(LABELLED)
    if place:
        index = on_disk(root / LIST)
        if index.is_file():
            return _listed(request, listing, parameters, index, place)
        samples = list(_extracted(listing, parameters, place))
        if not samples:
            raise UserError(f"{root / place}: no image <kind of room>/rgb_<number>.jpg; extract the test images there")
        return samples
    if not labelled:
        raise UserError(
            f"{root}: neither {EXTRACTED[0]} nor {LABELLED} there; fetch {LABELLED} and {SPLITS} of NYU Depth v2"
        )
    return list(_labelled(listing, parameters, labelled))


def nyu_struct_samples(request: Request) -> list[Sample]:
    """The test images of StructDepth, P2Net and BDEdepth, `nyu_test/<number>.h5`.

    Raises:
        UserError: when there is none.
    """
    root = request.folder(FOLDER, HOW)
    listing, parameters = Listing(root), read_parameters(root, FOLDER)
    names = sorted(name for name in listing.names(STRUCT_TEST) if name.lower().endswith(".h5"))
    if not names:
        raise UserError(f"{root}: no {STRUCT_TEST}/*.h5 there; unpack the test set of StructDepth there")
    return [_struct(f"{root}/{STRUCT_TEST}/{name}", parameters) for name in names]


def numbers_for_test(path: str, count: int) -> list[int]:
    """Numbers from 0 of the test images among `count` labelled ones, by splits.mat, which counts from 1.

    Raises:
        UserError: when the file is damaged, or the numbers are not those of different images.
    """
    stored = read_numbers(path, "testNdxs", 2).reshape(-1)
    numbers = stored.astype(np.int64) - 1
    whole = bool((stored == numbers + 1).all())
    if not whole or not len(numbers) or numbers.min() < 0 or numbers.max() >= count or len(set(numbers)) < len(numbers):
        raise UserError(f"{path}: testNdxs are not numbers from 1 to {count}, each once; fetch it again")
    return numbers.tolist()


def find_splits(listing: Listing, labelled: str) -> str:
    """Path of splits.mat beside the labelled data set; raises `UserError` where it is missing."""
    path = listing.file(SPLITS)
    if not path:
        raise UserError(f"{Path(labelled).parent}: {SPLITS} is missing, which says which images are for the test")
    return path


def _sample(name: str, image: str, depth: DepthSource | None, parameters: Parameters) -> Sample:
    return Sample(name, {0: image}, parameters.intrinsics, depth=depth, measured=parameters.measured)


def _millimetres(path: str) -> DepthSource:
    return DepthSource("map", path, unit=MILLIMETRE)


def _extracted(listing: Listing, parameters: Parameters, place: str) -> Iterator[Sample]:
    for room in sorted(listing.names(place)):
        for name in sorted(listing.names(f"{place}/{room}")):
            stem, number = Path(name).stem, Path(name).stem.removeprefix("rgb_")
            if not (stem.startswith("rgb_") and name.lower().endswith(IMAGE_TYPES)):
                continue
            path = listing.find(f"{place}/{room}/sync_depth_{number}", (".png",))
            image = f"{listing.root}/{place}/{room}/{name}"
            yield _sample(f"{room}/{stem}", image, _millimetres(path) if path else None, parameters)


def _listed(request: Request, listing: Listing, parameters: Parameters, index: Path, place: str) -> list[Sample]:
    missing, samples = Missing(request), []
    for pair in read_pairs(index):
        image, depth = (_below(place, path) for path in pair)
        found, truth = listing.find_image(image), listing.file(depth) if depth else ""
        there = {image: bool(found), depth: bool(truth) or not depth}
        if missing.note(f"{listing.root}/{path}" for path, exists in there.items() if not exists):
            continue
        name = Path(image.removeprefix(f"{place}/")).with_suffix("").as_posix()
        samples.append(_sample(name, found, _millimetres(truth) if truth else None, parameters))
    missing.check(index, f"extract the test images into {place}, or delete the list to use what is there", len(samples))
    return samples


def _below(place: str, path: str) -> str:
    """A path of a list relative to the data set; empty for no path."""
    for start in RELATIVE:
        path = path.removeprefix(start)
    return f"{place}/{path}" if path else ""


def _labelled(listing: Listing, parameters: Parameters, path: str) -> Iterator[Sample]:
    count = count_labelled(path)
    rooms = scene_types(path, count)
    for number in numbers_for_test(find_splits(listing, path), count):
        depth = DepthSource("hdf5", member(path, "rawDepths", number))
        yield _sample(f"{rooms[number]}/rgb_{number:05d}", member(path, "images", number), depth, parameters)


def _struct(path: str, parameters: Parameters) -> Sample:
    depth = DepthSource("hdf5", member(path, "depth"))
    return _sample(Path(path).stem, member(path, "rgb"), depth, parameters)
