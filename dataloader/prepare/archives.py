"""Unpacking of downloaded archives: only expected files, each whole or absent, nothing outside the folder."""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from PIL import Image

from errors import UserError
from storage.atomic import require_room
from storage.progress import Progress
from storage.text import read_text

PARTS = ("image_02", "image_03", "velodyne_points", "oxts", "image_00", "image_01")
CALIBRATION = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")
VELODYNE_GAPS = 4  # scans that a published drive lacks (2011_09_26_drive_0009, frames 177 to 180)


def drive_members(date: str, drive: str, parts: tuple[str, ...]) -> re.Pattern[str]:
    """Names of the wanted members of one drive's archive."""
    files = r"(?:data/\d{10}\.(?:png|bin|txt)|timestamps(?:_start|_end)?\.txt|dataformat\.txt)"
    return re.compile(rf"{re.escape(date)}/{re.escape(drive)}/(?:{'|'.join(parts)})/{files}")


def calibration_members(date: str) -> re.Pattern[str]:
    """Names of the wanted members of one date's calibration archive."""
    return re.compile(rf"{re.escape(date)}/(?:{'|'.join(map(re.escape, CALIBRATION))})")


def extract(archive: Path, root: Path, wanted: re.Pattern[str], jpg: bool = False) -> int:
    """Unpack the members whose name fits; files that are there already in full size are left alone.

    Args:
        archive: zip file; removed when it turns out damaged, so that the next run fetches it anew.
        root: the member names are relative to this folder.
        wanted: matches whole member names.
        jpg: store PNG images as JPEG of quality 92 with 4:2:0 chroma.

    Returns: number of files written.

    Raises:
        UserError: damaged archive, a member that points outside, none that is wanted, or no room.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [
                info for info in zipped.infolist() if _is_safe(info, archive) and wanted.fullmatch(info.filename)
            ]
            if not members:
                raise UserError(f"{archive}: holds none of the expected files ({wanted.pattern}); check its address")
            todo = [info for info in members if not _is_there(info, root, jpg)]
            need = sum(info.file_size for info in todo) * (0.3 if jpg else 1.0)
            require_room(root, need, "{needed} to unpack, {free} free; make room and run again", "GiB")
            for info in Progress(todo, "files", f"unpack {archive.name}", len(todo), passing=True):
                _extract_one(zipped, info, _target(info, root, jpg))
            return len(todo)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        archive.unlink()
        raise UserError(f"{archive}: damaged ({error}); it was removed, run again to fetch it anew") from error


def _is_safe(info: zipfile.ZipInfo, archive: Path) -> bool:
    """True; no archive of the data set has a reason to name a place outside, or to hold a link."""
    name = PurePosixPath(info.filename)
    outside = name.is_absolute() or ".." in name.parts or "\\" in info.filename or ":" in info.filename
    if outside or stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(
            f"{archive}: member {info.filename!r} points outside the folder; delete the archive and "
            "fetch it from the official address"
        )
    return True


def _target(info: zipfile.ZipInfo, root: Path, jpg: bool) -> Path:
    path = root / info.filename
    return path.with_suffix(".jpg") if jpg and path.suffix.lower() == ".png" else path


def _is_there(info: zipfile.ZipInfo, root: Path, jpg: bool) -> bool:
    """Whether a member was unpacked before, in full; the size of a converted image is not known beforehand."""
    target = _target(info, root, jpg)
    if not target.is_file():
        return False
    size = target.stat().st_size
    return size == info.file_size if target.name == Path(info.filename).name else size > 0


def _extract_one(zipped: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipped.open(info) as source, open(temporary, "wb") as file:
            if target.suffix == ".jpg":
                Image.open(io.BytesIO(source.read())).save(file, "JPEG", quality=92, subsampling="4:2:0")
            else:
                shutil.copyfileobj(source, file)
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(
            f"{target}: cannot unpack ({error}); make room or choose another folder, then run again"
        ) from error
    finally:
        if target.parent.is_dir():
            temporary.unlink(missing_ok=True)


def is_complete(folder: Path, parts: tuple[str, ...]) -> bool:
    """Whether every wanted part of a drive has as many files as its own timestamps say."""
    for part in parts:
        stamps = folder / part / "timestamps.txt"
        if not stamps.is_file():
            return False
        expected = sum(1 for line in read_text(stamps, errors="replace").splitlines() if line.strip())
        found = sum(1 for _ in (folder / part / "data").glob("[0-9]*.*"))
        if found < expected - (VELODYNE_GAPS if part == "velodyne_points" else 0):
            return False
    return True
