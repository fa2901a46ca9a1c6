"""Numbers that the published index files keep per frame: camera, time, speed, pose."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataloader.calibration import calibration_entry
from dataloader.layouts.kitti_files import SEQUENCES, raw_frame
from dataloader.layouts.odometry import read_poses
from dataloader.listing import on_disk
from dataloader.lists import Frame
from dataloader.prepare.scan import Key
from dataloader.samples import check_float32
from storage.progress import Progress
from storage.text import read_text

FORWARD_SPEED = 8  # place of vf, in m/s, among the thirty numbers of an oxts file


@dataclass(frozen=True)
class Values:
    """One category of numbers; `of` has the frames for which they are known."""

    name: str
    filters: tuple[str, ...]
    of: dict[Key, Any] = field(default_factory=dict)
    camera: str = "color"


def kitti_values(root: Path, left: dict[Key, str], right: dict[Key, str], drives: dict[str, str]) -> list[Values]:
    """What lies beside the raw drives.

    Args:
        root: folder of the data set.
        left: left images by key, relative to `root`.
        right: right images likewise.
        drives: drive of an odometry sequence where it is not the recorded one.

    Returns: 4x4 intrinsics in pixels of both cameras, seconds since midnight, forward speed in m/s, and 3x4
        camera-to-world poses in metres; categories may be empty.

    Raises:
        UserError: a calibration or pose file is damaged.
    """
    return [
        Values("camera_intrinsics", ("Raw_data",), _intrinsics(root, left, 2)),
        Values("camera_intrinsics_right", ("Raw_data",), _intrinsics(root, right, 3), "color_right"),
        Values("timestamp", ("Raw_data", "image_02"), dict(_timestamps(root, left))),
        Values("velocity", ("Raw_data", "oxts"), dict(_velocities(root, left))),
        Values("poses", ("poses",), {key: pose for key, pose in _poses(root, drives) if key in left}),
    ]


def cityscapes_values(root: Path, left: dict[Key, str]) -> list[Values]:
    """4x4 intrinsics in pixels of the full image, from the camera files where they are unpacked."""
    found = {}
    for key, path in left.items():
        name = path.replace("leftImg8bit/", "camera/", 1).rpartition("_leftImg8bit")[0] + "_camera.json"
        try:
            inner = json.loads(read_text(on_disk(root / name)))["intrinsic"]
            numbers = tuple(float(inner[each]) for each in ("fx", "fy", "u0", "v0"))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # the category is optional, and so is every entry of it
        check_float32(str(root / name), numbers)
        found[key] = _square(*numbers)
    return [Values("camera_intrinsics", ("camera",), found)]


def _drive_folders(root: Path, images: dict[Key, str]) -> dict[str, Path]:
    """Folder of every drive; odometry sequences, which have none of these files, are left out."""
    return {drive: root / Path(path).parents[2] for (drive, _), path in images.items() if "/data/" in path}


def _intrinsics(root: Path, images: dict[Key, str], camera: int) -> dict[Key, list[list[float]]]:
    matrices = {}
    for drive, folder in _drive_folders(root, images).items():
        path = on_disk(folder.parent / "calib_cam_to_cam.txt")
        if path.is_file():
            projection = calibration_entry(path, f"P_rect_{camera:02d}", 3, 4)
            matrices[drive] = _square(projection[0, 0], projection[1, 1], projection[0, 2], projection[1, 2])
    return {key: matrices[key[0]] for key in images if key[0] in matrices}


def _square(fx: float, fy: float, cx: float, cy: float) -> list[list[float]]:
    matrix = np.eye(4)
    matrix[[0, 1, 0, 1], [0, 1, 2, 2]] = fx, fy, cx, cy
    return matrix.tolist()


def _timestamps(root: Path, images: dict[Key, str]) -> Iterator[tuple[Key, float]]:
    for drive, folder in _drive_folders(root, images).items():
        path = on_disk(folder / "image_02" / "timestamps.txt")
        lines = read_text(path, errors="replace").splitlines() if path.is_file() else []
        for number, line in enumerate(lines):
            try:
                hours, minutes, seconds = line.split()[1].split(":")
                seconds_of_day = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            except (IndexError, ValueError):
                continue  # a line without a time is a frame without one
            if (drive, number) in images:
                yield (drive, number), seconds_of_day


def _velocities(root: Path, images: Iterable[Key]) -> Iterator[tuple[Key, float]]:
    folders = _drive_folders(root, images)
    known = [key for key in images if (folders.get(key[0], root) / "oxts" / "data").is_dir()]
    for drive, number in Progress(known, "files", "read oxts", len(known), passing=True):
        try:
            text = read_text(on_disk(folders[drive] / "oxts" / "data" / f"{number:010d}.txt"))
            yield (drive, number), float(text.split()[FORWARD_SPEED])
        except (OSError, IndexError, ValueError):
            continue  # a few drives lack single files


def _poses(root: Path, drives: dict[str, str]) -> Iterator[tuple[Key, list[list[float]]]]:
    for path in sorted((root / "poses").glob("*")):
        if path.stem not in SEQUENCES or path.suffix.lower() != ".txt":
            continue
        start = raw_frame(Frame(path.stem, 0))
        drive = drives.get(path.stem, start.drive)
        first = start.number if drive == start.drive else 0
        for number, pose in enumerate(read_poses(path)):
            yield (drive, first + number), pose[:3].tolist()
