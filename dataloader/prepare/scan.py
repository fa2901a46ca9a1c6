"""What a data set folder holds, by category of the published index files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from dataloader.layouts.kitti_files import raw_frame
from dataloader.listing import refuse_unlisted, visible
from dataloader.lists import Frame
from storage.progress import Progress

Key = tuple[str, int]
"""Uninterrupted recording and frame number: what the files of one moment have in common."""


@dataclass(frozen=True)
class Kind:
    """One category of image files.

    `pattern` matches whole paths below the data set folder; its groups `part`, `sequence`, `frame` give the key.
    `filters` are the path parts that the published files name for it.
    """

    name: str
    filters: tuple[str, ...]
    pattern: re.Pattern[str]


def _kind(name: str, filters: Iterable[str], *patterns: str) -> Kind:
    numbered = (
        pattern.replace("<sequence>", f"<sequence{i}>").replace("<frame>", f"<frame{i}>")
        for i, pattern in enumerate(patterns)
    )
    return Kind(name, tuple(filters), re.compile("|".join(f"(?:{pattern})" for pattern in numbered)))


_IMAGE = r"(?P<frame>\d+)\.(?i:png|jpe?g)"
_MAP = r"(?P<frame>\d+)\.(?i:png)"
_DRIVE = r"(?P<sequence>[^/]+/[^/]+)"
_ANNOTATED = r"proj_depth/groundtruth"
_MAPS = ("Depth_processed", "Depth_processed_improved", "Depth_completed", "Depth_completed_improved")


def _kitti_camera(camera: int, ending: str) -> Iterator[Kind]:
    image = f"image_{camera:02d}"
    yield _kind(
        f"color{ending}",
        ("Raw_data", image, "data"),
        rf"(?:Raw_data/)?{_DRIVE}/{image}/data/{_IMAGE}",
        rf"sequences/(?P<sequence>\d\d)/image_{camera}/{_IMAGE}",
    )
    yield _kind(f"depth{ending}", ("Depth/", image, "data"), rf"Depth/{_DRIVE}/{image}/(?:data/)?{_MAP}")
    yield _kind(
        f"depth_improved{ending}",
        ("Depth_improved/", image, "data"),
        rf"Depth_improved/{_DRIVE}/{image}/(?:data/)?{_MAP}",
        rf"Depth_improved/(?:train/|val/)?(?P<sequence>[^/]+)/{_ANNOTATED}/{image}/{_MAP}",
        rf"(?:Raw_data/)?{_DRIVE}/{_ANNOTATED}/{image}/{_MAP}",
    )
    for folder in _MAPS:
        yield _kind(
            f"{folder.lower()}{ending}", (f"{folder}/", image, "data"), rf"{folder}/{_DRIVE}/{image}/(?:data/)?{_MAP}"
        )


def _kitti_2015(name: str, folder: str, parts: str = "training|testing") -> Kind:
    return _kind(name, (folder,), rf"(?P<part>{parts})/{folder}/(?P<sequence>\d+)_(?P<frame>\d+)\.(?i:png)")


def _cityscapes(name: str, folder: str, ending: str) -> Kind:
    return _kind(name, (folder,), rf"{folder}/(?P<sequence>[^/]+/[^/]+/[^/]+_\d+)_(?P<frame>\d+)_{ending}\.(?i:png)")


KINDS: dict[str, tuple[Kind, ...]] = {  # the left colour camera comes first: its order numbers the frames
    "kitti": tuple(chain.from_iterable(zip(_kitti_camera(2, ""), _kitti_camera(3, "_right"), strict=True))),
    "kitti_2015": (
        _kitti_2015("color", "image_2"),
        _kitti_2015("color_right", "image_3"),
        _kitti_2015("depth", "depth_occ_0", "training"),
        _kitti_2015("segmentation", "semantic", "training"),
        _kitti_2015("flow", "flow_occ", "training"),
        _kitti_2015("flow_noc", "flow_noc", "training"),
    ),
    "cityscapes": (
        _cityscapes("color", "leftImg8bit", "leftImg8bit"),
        _cityscapes("color_right", "rightImg8bit", "rightImg8bit"),
        _cityscapes("depth", "disparity", "disparity"),
        _cityscapes("segmentation", "gtFine", "gtFine_labelIds"),
    ),
}
SKIPPED = re.compile(r"velodyne_points|oxts|image_0[01]|leftImg8bit_sequence\w*|.*foggy.*|.*_rain.*|\..*")


def scan(root: Path, kinds: Iterable[Kind]) -> dict[str, dict[Key, str]]:
    """Files below `root` by category and key, as paths relative to it with `/`.

    Where one frame has several files, the PNG in the raw drives is taken.

    Raises:
        UserError: when a folder is there and cannot be listed.
    """
    kinds = tuple(kinds)
    found: dict[str, dict[Key, str]] = {kind.name: {} for kind in kinds}
    for path in Progress(_walk(root), "files", f"list {root.name}", passing=True):
        for kind in kinds:
            match = kind.pattern.fullmatch(path)
            if match is not None:
                key = _key(match)
                found[kind.name][key] = min(found[kind.name].get(key, path), path, key=_preference)
                break
    return found


def _walk(root: Path) -> Iterator[str]:
    """Files below `root` through links, but not through those that lead back into a folder they lie in."""
    around: dict[str, frozenset[str]] = {str(root): frozenset()}  # real paths of the folders that a folder lies in
    for folder, inner, names in os.walk(root, onerror=refuse_unlisted, followlinks=True):
        real, above = os.path.realpath(folder), around.pop(folder)
        if real in above:
            inner.clear()
            continue
        inner[:] = [name for name in inner if not SKIPPED.fullmatch(name)]
        around |= {os.path.join(folder, name): above | {real} for name in inner}
        inside = Path(folder).relative_to(root).as_posix()
        for name in visible(names):
            yield name if inside == "." else f"{inside}/{name}"


def _key(match: re.Match[str]) -> Key:
    sequence, frame = (
        next(value for name, value in match.groupdict().items() if name.startswith(kind) and value)
        for kind in ("sequence", "frame")
    )
    if re.fullmatch(r"\d\d", sequence):
        raw = raw_frame(Frame(sequence, int(frame)))
        return raw.drive, raw.number
    if part := match.groupdict().get("part"):
        sequence = f"{part}/{sequence}"
    if re.match(r"\d{4}_\d\d_\d\d_drive_", sequence):  # the annotated depth maps leave the date folder out
        sequence = f"{sequence[:10]}/{sequence}"
    return sequence, int(frame)


def _preference(path: str) -> tuple[bool, bool, str]:
    return path.startswith("sequences/"), not path.lower().endswith(".png"), path
