"""KITTI with the annotated depth maps: frames of the Eigen split for training with measured depth, and for its test.

Lists are those of BTS and its heirs: image, depth map, and focal length or map without gaps. Without a list training
has every left frame with a map, outside the drives of the test set.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from errors import UserError

from ..listing import on_disk
from ..lists import Frame, parse_image_path
from ..missing import Missing
from ..pairs import read_pairs
from ..parameters import read_parameters
from ..samples import DepthSource, Request, Sample
from .kitti_eigen import eigen_test_frames
from .kitti_files import KittiFiles

log = logging.getLogger(__name__)

FOLDER = "kitti_annotated_split"
NAMES = {
    "train": ("train_files.txt", "eigen_train_files_with_gt.txt", "eigen_train_files_with_gt_dense.txt"),
    "test": ("test_files.txt", "eigen_test_files_with_gt.txt", "eigen_test_files_with_gt_dense.txt"),
}
"""Ours, then what the lists are called where they come from."""
LEFT = 2
REMEDY = (
    "fetch them (python -m dataloader.prepare kitti; data_depth_annotated.zip into kitti/data_depth_annotated), or "
    "delete the list to use what is there"
)


class Found(NamedTuple):
    """A frame with its map, and the map without gaps that a list names."""

    frame: Frame
    depth: DepthSource | None
    dense: DepthSource | None = None


def find_list(dataset_dir: Path, part: str) -> Path | None:
    """The list of a part in the data set folder; None where there is none."""
    paths = (on_disk(dataset_dir / FOLDER / name) for name in NAMES[part])
    return next((path for path in paths if path.is_file()), None)


def kitti_annotated_samples(request: Request) -> list[Sample]:
    """Left frames with their annotated depth, with its filled and smooth versions where they are there.

    `depth` is None where a list says that a frame has none, or, without a list, where a frame of the test set has none.

    Raises:
        UserError: when the folder, or a listed file is missing, or there is nothing to train with.
    """
    files = KittiFiles(request.dataset_dir)
    parameters = read_parameters(files.root, "kitti")
    path = find_list(request.dataset_dir, request.spec.part) if request.listed else None
    if path is not None:
        found = _listed(request, files, path, parameters.depth_mode)
    elif request.spec.part == "test":
        found = _test_set(request, files, parameters.depth_mode)
    else:
        found = _all_on_disk(request, files, parameters.depth_mode)
    return [
        Sample(
            frame.name,
            {0: files.image(frame)},
            parameters.intrinsics,
            depth=depth,
            measured=parameters.measured,
            dense=dense or files.companion(depth, "dense"),
            base=files.companion(depth, "base"),
        )
        for frame, depth, dense in found
    ]


def _listed(request: Request, files: KittiFiles, path: Path, mode: str) -> list[Found]:
    missing, found = Missing(request), []
    for pair in read_pairs(path):
        frame = parse_image_path(pair.image)
        if frame is None:
            raise UserError(f"{path}: {pair.image[:80]!r} is no image of a KITTI drive; mend the list or delete it")
        depth = _source(files.annotated(pair.depth), mode)
        lacking = _lacking_image(files, frame)
        if pair.depth and depth is None:
            depth = files.depth(frame, "improved", mode)  # it may have been unpacked in another way
            lacking += [] if depth else [f"{files.root}/data_depth_annotated/{pair.depth}"]
        if not missing.note(lacking):
            found.append(Found(frame, depth, _source(files.annotated(pair.dense), mode)))
    missing.check(path, REMEDY, len(found))
    return found


def _source(path: str, mode: str) -> DepthSource | None:
    return DepthSource("map", path, mode) if path else None


def _lacking_image(files: KittiFiles, frame: Frame) -> list[str]:
    return [] if files.image(frame) else [files.expected_image(frame)]


def _test_set(request: Request, files: KittiFiles, mode: str) -> list[Found]:
    missing, found = Missing(request), []
    for frame in eigen_test_frames():
        if not missing.note(_lacking_image(files, frame)):
            found.append(Found(frame, files.depth(frame, "improved", mode)))
    where = f"python -m dataloader.prepare kitti --split eigen --out {request.dataset_dir}"
    missing.check(files.root, f"fetch them with {where}", len(found))
    return found


def _all_on_disk(request: Request, files: KittiFiles, mode: str) -> list[Found]:
    """Every left frame with a map, of drives outside the test set."""
    test = {frame.drive for frame in eigen_test_frames()}
    drives = [drive for drive in files.raw_drives() if drive not in test]
    frames = [Frame(drive, number) for drive in drives for number in sorted(files.numbers(drive, LEFT))]
    maps = ((frame, files.depth(frame, "improved", mode)) for frame in frames)
    found = [Found(frame, depth) for frame, depth in maps if depth]
    if not found:
        raise UserError(
            f"{files.root}: no left image with an annotated depth map outside the drives of the Eigen test set; unpack "
            "data_depth_annotated.zip into kitti/data_depth_annotated"
        )
    if not request.listed:
        return found
    log.info(
        "  - %s: there is no list in %s, so it has all %d left images with a depth map, of %d drives, none of them of "
        "the Eigen test set; python -m dataloader.prepare lists %s keeps them as a list",
        request.spec.name,
        request.dataset_dir / FOLDER,
        len(found),
        len({each.frame.drive for each in found}),
        request.spec.name,
    )
    return found
