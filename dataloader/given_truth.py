"""Ground truth of a loader from one file that the user names, instead of from the data set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from errors import UserError

from .layouts.kitti import find_split
from .map_files import Maps, open_maps
from .samples import DepthSource, Request, Sample

KINDS = ("raw", "improved")
"""What --depth-gt may be besides a file."""
_GIVEN = " (--depth-gt FILE)"

log = logging.getLogger(__name__)


def is_given(depth_gt: str) -> bool:
    """Whether --depth-gt names a file."""
    return depth_gt not in KINDS


def kind_of(depth_gt: str) -> str:
    """What --depth-gt stands for: "raw", "improved", or what its file says; raises `UserError` as `open_maps`."""
    return open_maps(depth_gt).kind.removesuffix(_GIVEN) if is_given(depth_gt) else depth_gt


def given_kind(path: str) -> str:
    """What such truth is, for metrics.json; raises `UserError` as `open_maps`."""
    return kind_of(path) + _GIVEN


def with_given_truth(request: Request, samples: Sequence[Sample], path: str) -> list[Sample]:
    """The samples with the maps of a file: by their names, or in the order of the list where it has no names.

    Raises:
        UserError: when the file cannot be used, or is of other images.
    """
    maps = open_maps(path)
    if request.spec.truth == "improved" and maps.kind.startswith("raw"):
        log.warning(
            "--depth-gt %s: its maps are %s, and %s judges by the rules of improved ones; no published numbers compare "
            "with such ones",
            path,
            maps.kind,
            request.spec.name,
        )
    places = _by_name(request, samples, path, maps) if maps.names else _in_order(request, samples, path, maps)
    return [
        replace(sample, depth=None if place is None else DepthSource("given", path, number=place))
        for sample, place in zip(samples, places, strict=True)
    ]


def _by_name(request: Request, samples: Sequence[Sample], path: str, maps: Maps) -> list[int | None]:
    numbers = {name: number for number, name in enumerate(maps.names)}
    if len(numbers) < len(maps):
        raise UserError(f"{path}: two of its maps have one name; export it again")
    places = [numbers.get(sample.name) for sample in samples]
    if samples and all(place is None for place in places):
        raise UserError(
            f"--depth-gt {path}: it has none of the {len(samples)} images of {request.spec.name}, its first is of "
            f"{maps.names[0]}; make it with python -m dataloader.prepare export-gt {request.spec.name}"
        )
    return places


def _in_order(request: Request, samples: Sequence[Sample], path: str, maps: Maps) -> Sequence[int]:
    """Nothing in the file says which image a map is of, so the list must be the very one it was exported by."""
    index = find_split(request) if request.spec.dataset == "kitti" else None
    if index is None or index.suffix.lower() != ".txt":
        lists = "a list of test_files.txt" if request.spec.dataset == "kitti" else "KITTI's test_files.txt"
        raise UserError(
            f"--depth-gt {path}: its maps have no names and are in the order of {lists}, which {request.spec.name} "
            f"does not read{' here; put it in its split folder' if request.spec.dataset == 'kitti' else ''}"
        )
    if request.camera != "protocol":
        raise UserError(
            f"--depth-camera {request.camera}: the maps of --depth-gt {path} are of the cameras that {index} names; "
            "leave it out"
        )
    if len(maps) != len(samples):
        raise UserError(
            f"--depth-gt {path}: {len(maps)} maps, but {index} has {len(samples)} images that are there; it takes the "
            "list by which the file was exported, with all of its images"
        )
    return range(len(maps))
