"""Where KITTI keeps the image, the laser scan and the depth map of a frame."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from errors import UserError

from ..companions import Kind, companion
from ..listing import IMAGE_TYPES, Listing
from ..lists import Frame
from ..samples import DepthSource

CACHE_FOLDER = ".velodyne_depth"


class Recording(NamedTuple):
    """Raw drive behind an odometry sequence, and its first and last frame there."""

    drive: str
    first: int
    last: int


def _recording(day: str, drive: int, first: int, last: int) -> Recording:
    return Recording(f"{day}/{day}_drive_{drive:04d}_sync", first, last)


SEQUENCES = {  # odometry development kit
    "00": _recording("2011_10_03", 27, 0, 4540),
    "01": _recording("2011_10_03", 42, 0, 1100),
    "02": _recording("2011_10_03", 34, 0, 4660),
    "03": _recording("2011_09_26", 67, 0, 800),
    "04": _recording("2011_09_30", 16, 0, 270),
    "05": _recording("2011_09_30", 18, 0, 2760),
    "06": _recording("2011_09_30", 20, 0, 1100),
    "07": _recording("2011_09_30", 27, 0, 1100),
    "08": _recording("2011_09_30", 28, 1100, 5170),
    "09": _recording("2011_09_30", 33, 0, 1590),
    "10": _recording("2011_09_30", 34, 0, 1200),
}
_DATE = re.compile(r"\d{4}_\d{2}_\d{2}")
_MAP_TAILS = ("image_{camera:02d}/data", "image_{camera:02d}")
_ANNOTATED_TAIL = "proj_depth/groundtruth/image_{camera:02d}"
_ANNOTATED_ROOTS = (
    "kitti/Depth_improved",
    "kitti/data_depth_annotated",
    "data_depth_annotated",
    "kitti_depth",
    "kitti",
    "kitti/Raw_data",
)
_PARTS = ("", "train/", "val/")  # of the archive


class KittiFiles:
    """Files of KITTI frames below a data set folder; depth maps projected from laser scans are kept below `cache`.

    Raises: UserError when there is no folder `kitti`.
    """

    def __init__(self, dataset_dir: Path, cache: str = ""):
        self.root = dataset_dir / "kitti"
        if not self.root.is_dir():
            raise UserError(f"{self.root}: no such folder; download or link KITTI there, or set --dataset-dir")
        self.listing = Listing(self.root)
        self._all = Listing(dataset_dir)
        self._cache = cache
        self._folders: dict[tuple[str, str, int], str] = {}

    def drive_folder(self, drive: str) -> str:
        """Folder of a drive relative to `kitti`, directly inside or below Raw_data."""
        inside = f"Raw_data/{drive}"
        return inside if self.listing.has(inside) else drive

    def raw_drives(self) -> list[str]:
        """Synchronised raw drives that are there, as <date>/<drive>, in order.

        The same recordings as `_extract` are not rectified, and no list of a test set tells them from others.
        """
        dates = {date for place in ("", "Raw_data") for date in self.listing.names(place) if _DATE.fullmatch(date)}
        names = {
            (date, name) for date in dates for place in ("", "Raw_data/") for name in self.listing.names(place + date)
        }
        return sorted(f"{date}/{name}" for date, name in names if re.fullmatch(rf"{date}_drive_[0-9]{{4}}_sync", name))

    def numbers(self, drive: str, camera: int) -> set[int]:
        """Numbers of the images of a raw drive that are there."""
        names = self.listing.names(f"{self.drive_folder(drive)}/image_{camera:02d}/data")
        return {
            int(stem) for stem, kind in map(os.path.splitext, names) if stem.isdigit() and kind.lower() in IMAGE_TYPES
        }

    def last_number(self, drive: str, camera: int) -> int:
        """The greatest of `numbers`; -1 where there is none."""
        return max(self.numbers(drive, camera), default=-1)

    def image(self, frame: Frame) -> str:
        """Path of an image, empty where it does not exist."""
        if "/" not in frame.drive:
            path = self.listing.find(f"sequences/{frame.drive}/image_{frame.camera}/{frame.number:06d}")
            if path:
                return path
        raw = raw_frame(frame)
        return self.listing.find(f"{self.drive_folder(raw.drive)}/image_{raw.camera:02d}/data/{raw.number:010d}")

    def expected_image(self, frame: Frame) -> str:
        """Where an image that does not exist should lie."""
        if "/" not in frame.drive:
            return f"{self.root}/sequences/{frame.drive}/image_{frame.camera}/{frame.number:06d}.png"
        return f"{self.root}/{self.drive_folder(frame.drive)}/image_{frame.camera:02d}/data/{frame.number:010d}.png"

    def left_only(self, drive: str) -> bool:
        """Whether a drive or sequence was fetched with its left camera alone: there is no folder for the right one."""
        return self._has_camera(drive, 2) and not self._has_camera(drive, 3)

    def _has_camera(self, drive: str, camera: int) -> bool:
        raw = raw_frame(Frame(drive, 0)).drive
        return self.listing.has(f"{self.drive_folder(raw)}/image_{camera:02d}/data") or self.listing.has(
            f"sequences/{drive}/image_{camera}"
        )

    def depth(self, frame: Frame, kind: str, mode: str) -> DepthSource | None:
        """Ground truth of a frame, `kind` as `Request.depth_gt`; None where there is none."""
        raw = raw_frame(frame)
        if kind == "scanner":
            return self._scan(raw, forward=True)
        if kind == "improved":
            path = self._map("improved", raw)
            return DepthSource("map", path, mode) if path else None
        path = self._map("raw", raw)
        return DepthSource("map", path, mode) if path else self._scan(raw)

    def annotated(self, path: str) -> str:
        """A file of the official depth archive, however that was unpacked, by its path there; empty where it is not."""
        date = _DATE.match(path)
        paths = [path, *([f"{date[0]}/{path}"] if date else [])] if path else []
        places = (f"{root}/{part}{each}" for root in _ANNOTATED_ROOTS for part in _PARTS for each in paths)
        return next((found for place in places if (found := self._all.file(place))), "")

    def companion(self, truth: DepthSource | None, kind: Kind) -> DepthSource | None:
        """The filled or smooth map beside a depth map; None where there is none."""
        return companion(self._all, truth, kind)

    def _map(self, kind: str, frame: Frame) -> str:
        key = (kind, frame.drive, frame.camera)
        if key not in self._folders:
            choices = _raw_maps(frame) if kind == "raw" else _improved_maps(frame)
            self._folders[key] = next((folder for folder in choices if self._all.names(folder)), "")
        folder = self._folders[key]
        return self._all.find(f"{folder}/{frame.number:010d}", (".png",)) if folder else ""

    def _scan(self, frame: Frame, forward: bool = False) -> DepthSource | None:
        folder = self.drive_folder(frame.drive)
        path = self.listing.find(f"{folder}/velodyne_points/data/{frame.number:010d}", (".bin",))
        if not path:
            return None
        calibration = str((self.root / folder).parent)
        if forward:
            return DepthSource("velodyne", path, "forward", calibration=calibration, camera=frame.camera)
        cache = f"{self.cache_folder}/{frame.name}" if self.cache_folder else ""
        return DepthSource("velodyne", path, calibration=calibration, camera=frame.camera, cache=cache)

    @cached_property
    def cache_folder(self) -> str:
        """Folder of the projected scans of this data set folder, empty where none are kept."""
        if not self._cache:
            return ""
        place = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:8]
        return f"{self._cache}/{CACHE_FOLDER}/{place}"


def raw_frame(frame: Frame) -> Frame:
    """The frame of a raw drive that an odometry frame was taken from; other frames stay as they are."""
    recording = SEQUENCES.get(frame.drive)
    return frame if recording is None else Frame(recording.drive, recording.first + frame.number, frame.camera)


def _raw_maps(frame: Frame) -> list[str]:
    return [f"kitti/Depth/{frame.drive}/{tail.format(camera=frame.camera)}" for tail in _MAP_TAILS]


def _improved_maps(frame: Frame) -> list[str]:
    """The published layout, then that of the official archive: unpacked on its own or into the raw drives."""
    folders = [f"kitti/Depth_improved/{frame.drive}/{tail.format(camera=frame.camera)}" for tail in _MAP_TAILS]
    tail = _ANNOTATED_TAIL.format(camera=frame.camera)
    short = frame.drive.rpartition("/")[2]
    for root in _ANNOTATED_ROOTS:
        for part in _PARTS:
            folders += [f"{root}/{part}{drive}/{tail}" for drive in (frame.drive, short)]
    return folders
