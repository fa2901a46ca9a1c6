"""NYU Depth v2: images as BTS extracts them, the labelled .mat file itself, or StructDepth's .h5 files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errors import UserError

from ..catalog import LoaderSpec
from ..companions import companion
from ..listing import Listing, on_disk
from ..matlab import read_numbers
from ..missing import Missing
from ..nyu_files import count_labelled, member, scene_types
from ..pairs import read_pairs
from ..parameters import Parameters, read_parameters
from ..samples import DepthSource, Request, Sample

FOLDER, HOW = "nyu_v2", "put or link NYU Depth v2"
LABELLED, SPLITS = "nyu_depth_v2_labeled.mat", "splits.mat"
MILLIMETRE = 0.001
STRUCT_TEST = "nyu_test"


class Set(NamedTuple):
    """Where the images of a loader lie, and what lists of them may write before the folder of a scene.

    list:     name of its list; "" where it has none
    labelled: part of splits.mat by which its images come from the .mat file; "" for none
    """

    places: tuple[str, ...]
    list: str = ""
    relative: tuple[str, ...] = ()
    labelled: str = ""


SETS = {
    ("", "train"): Set(("sync", "nyu_depth_v2/sync"), "train_files.txt", ("nyu_depth_v2/", "sync/")),
    ("", "test"): Set(
        ("official_splits/test", "nyu_depth_v2/official_splits/test", "test"),
        "test_files.txt",
        ("official_splits/test/", "test/"),
        "test",
    ),
    ("official", "train"): Set(("official_splits/train", "nyu_depth_v2/official_splits/train"), labelled="train"),
}
"""By split and part of the loader."""
log = logging.getLogger(__name__)


def find_list(dataset_dir: Path, spec: LoaderSpec) -> Path | None:
    """The list of a loader of these in the data set folder; None where there is none."""
    name = SETS[spec.split, spec.part].list
    path = on_disk(dataset_dir / FOLDER / name)
    return path if name and path.is_file() else None


def nyu_samples(request: Request) -> list[Sample]:
    """Images with what the Kinect measured, and its filled and smooth versions; the .mat file where none are extracted.

    A loader whose truth is "dense" has the filled depth as its truth.

    Raises:
        UserError: when neither is there, or a listed image is missing.
    """
    samples = list(_samples(request))
    return [replace(sample, depth=sample.dense) for sample in samples] if request.spec.truth == "dense" else samples


def _samples(request: Request) -> list[Sample] | Iterator[Sample]:
    root, spec = request.folder(FOLDER, HOW), request.spec
    listing, parameters, chosen = Listing(root), read_parameters(root, FOLDER), SETS[spec.split, spec.part]
    place = next((place for place in chosen.places if listing.names(place)), "")
    labelled = listing.file(LABELLED) if chosen.labelled else ""
    if place:
        index = find_list(request.dataset_dir, spec)
        if index and request.listed:
            return _listed(request, listing, parameters, index, place)
        samples = list(_extracted(listing, parameters, place))
        if not samples:
            raise UserError(f"{root / place}: no image <scene>/rgb_<number>.jpg; put the extracted images there")
        if spec.training and chosen.list and request.listed:
            _tell_all(request, root / chosen.list, samples)
        return samples
    if labelled:
        return _labelled(listing, parameters, labelled, chosen.labelled)
    if chosen.labelled:
        raise UserError(
            f"{root}: neither {chosen.places[0]} nor {LABELLED} there; fetch {LABELLED} and {SPLITS} of NYU Depth v2"
        )
    raise UserError(
        f"{root}: no folder {chosen.places[0]}; unpack the training frames of BTS or LapDepth there, or train with "
        "nyu_v2_official_train"
    )


def _tell_all(request: Request, index: Path, samples: list[Sample]) -> None:
    log.info(
        "  - %s: there is no list %s, so it has all %d images, of %d scenes; python -m dataloader.prepare lists %s "
        "keeps them as a list",
        request.spec.name,
        index,
        len(samples),
        len({sample.name.partition("/")[0] for sample in samples}),
        request.spec.name,
    )


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


def numbers_of_part(path: str, count: int, part: str) -> list[int]:
    """Numbers from 0 of the images of "train" or "test" among `count` labelled ones; splits.mat counts from 1.

    Raises:
        UserError: when the file is damaged, or the numbers are not those of different images.
    """
    stored = read_numbers(path, f"{part}Ndxs", 2).reshape(-1)
    numbers = stored.astype(np.int64) - 1
    whole = bool((stored == numbers + 1).all())
    if not whole or not len(numbers) or numbers.min() < 0 or numbers.max() >= count or len(set(numbers)) < len(numbers):
        raise UserError(f"{path}: {part}Ndxs are not numbers from 1 to {count}, each once; fetch it again")
    return numbers.tolist()


def find_splits(listing: Listing, labelled: str) -> str:
    """Path of splits.mat beside the labelled data set; raises `UserError` where it is missing."""
    path = listing.file(SPLITS)
    if not path:
        raise UserError(f"{Path(labelled).parent}: {SPLITS} is missing, which says which images are for the test")
    return path


def _sample(
    name: str, image: str, depth: DepthSource | None, parameters: Parameters, **maps: DepthSource | None
) -> Sample:
    return Sample(name, {0: image}, parameters.intrinsics, depth=depth, measured=parameters.measured, **maps)


def _millimetres(path: str) -> DepthSource | None:
    return DepthSource("map", path, unit=MILLIMETRE) if path else None


def _extracted(listing: Listing, parameters: Parameters, place: str) -> Iterator[Sample]:
    for scene in sorted(listing.names(place)):
        for stem, image in listing.images(f"{place}/{scene}").items():
            number = stem.removeprefix("rgb_")
            if number == stem:
                continue
            depth = _millimetres(listing.find(f"{place}/{scene}/sync_depth_{number}", (".png",)))
            yield _sample(f"{scene}/{stem}", image, depth, parameters, **_companions(listing, depth))


def _companions(listing: Listing, depth: DepthSource | None, dense: str = "") -> dict[str, DepthSource | None]:
    """The filled and the smooth map of a sample; `dense`: path of the filled one, where a list says so."""
    filled = _millimetres(dense) or companion(listing, depth, "dense")
    return {"dense": filled, "base": companion(listing, depth, "base")}


def _listed(request: Request, listing: Listing, parameters: Parameters, index: Path, place: str) -> list[Sample]:
    missing, samples = Missing(request), []
    relative = SETS[request.spec.split, request.spec.part].relative
    for pair in read_pairs(index):
        image, depth, dense = (_below(place, path, relative) for path in pair)
        found, truth = listing.find_image(image), listing.file(depth) if depth else ""
        there = {image: bool(found), depth: bool(truth) or not depth}
        if missing.note(f"{listing.root}/{path}" for path, exists in there.items() if not exists):
            continue
        name = Path(image.removeprefix(f"{place}/")).with_suffix("").as_posix()
        source = _millimetres(truth)
        maps = _companions(listing, source, listing.file(dense) if dense else "")
        samples.append(_sample(name, found, source, parameters, **maps))
    missing.check(
        index, f"put the extracted images into {place}, or delete the list to use what is there", len(samples)
    )
    return samples


def _below(place: str, path: str, relative: tuple[str, ...]) -> str:
    """A path of a list relative to the data set; empty for no path."""
    for start in relative:
        path = path.removeprefix(start)
    return f"{place}/{path}" if path else ""


def _labelled(listing: Listing, parameters: Parameters, path: str, part: str) -> Iterator[Sample]:
    count = count_labelled(path)
    rooms = scene_types(path, count)
    for number in numbers_of_part(find_splits(listing, path), count, part):
        depth, dense = (DepthSource("hdf5", member(path, name, number)) for name in ("rawDepths", "depths"))
        image = member(path, "images", number)
        yield _sample(f"{rooms[number]}/rgb_{number:05d}", image, depth, parameters, dense=dense)


def _struct(path: str, parameters: Parameters) -> Sample:
    depth = DepthSource("hdf5", member(path, "depth"))
    return _sample(Path(path).stem, member(path, "rgb"), depth, parameters)
