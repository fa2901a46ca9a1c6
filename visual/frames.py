"""Frames of a video as image files, numbered in their order: what training on own video reads."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from errors import UserError
from storage import lock
from storage.atomic import make_writable, require_room, write_whole
from storage.frames import NOTES, place_of, read_notes
from storage.kinds import VIDEOS, image_suffixes
from storage.progress import Progress

from .video import FrameReader

MOST_THREADS = 16
AHEAD = 4  # frames in memory per thread
QUALITY = 95  # of JPEG
OPTIONS = {".png": (cv2.IMWRITE_PNG_COMPRESSION, 1), ".jpg": (cv2.IMWRITE_JPEG_QUALITY, QUALITY)}


@dataclass(frozen=True)
class Taken:
    """What was taken out of a video.

    there:   frames in the folder
    written: of these, now
    fault:   a sentence where the video is damaged, or ""
    """

    there: int
    written: int
    fault: str


def take_frames(video: Path, folder: Path, *, step: int = 1, fps: float = 0.0, kind: str = ".png") -> Taken:
    """Write frames of a video into a folder as 000000.png and so on; goes on where it was interrupted.

    Frames that are not whole are left out, and their numbers stay free.

    Args:
        video: the file
        folder: made where it is missing
        step: one of so many frames is taken
        fps: frames per second that are taken, as evenly as may be; 0: as `step` says
        kind: ".png", or ".jpg", of quality 95

    Raises:
        UserError: where the video cannot be read, has fewer frames per second, or no frame that is whole, where the
            folder holds something else, or the disk has no room.
    """
    if not video.is_file():
        raise UserError(f"{video}: {'a folder' if video.is_dir() else 'no such file'}; name a video")
    if video.suffix.lower() in image_suffixes() and video.suffix.lower() != ".gif":
        raise UserError(f"{video}: an image; name a video")
    recipe = {"video": video.name, "bytes": video.stat().st_size, "step": step, "fps": fps, "kind": kind}
    if read_notes(folder).get("complete") is not True:
        reader = FrameReader(video)
        choose = _chooser(video, reader.rate, step, fps)
    make_writable(folder, "choose another folder for the frames")
    with lock.changing(folder / NOTES):
        notes = read_notes(folder)
        _require_same(folder, notes, recipe)
        if notes.get("complete") is not True:
            _note(folder, {**recipe, "complete": False})
            there, written = _write(reader, choose, folder, kind)
            fault = reader.fault()
            if not there:
                _forget(folder)
                raise UserError(fault or f"{video}: no frame of this video can be decoded; convert it to MP4")
            rate = fps or reader.rate / step
            _note(folder, {**recipe, "complete": True, "frames": there, "rate": round(rate, 3), "fault": fault})
            return Taken(there, written, fault)
    return Taken(int(notes.get("frames", 0)), 0, str(notes.get("fault", "")))


def take_all(videos: Iterable[Path], home: Path, tell: Callable[[str], object]) -> list[str]:
    """Write all frames of videos where training looks for them; a sentence about each video that is damaged.

    home: folder of all runs, or of caches
    tell: says beforehand what takes long
    """
    faults = []
    for video in videos:
        place = place_of(video, home)
        if read_notes(place).get("complete") is not True:
            tell(f"{video}: its frames are taken out of it into {place}")
        faults.append(take_frames(video, place).fault)
    return [fault for fault in faults if fault]


def _require_same(folder: Path, notes: dict, recipe: dict) -> None:
    """Raises `UserError` where a folder holds images of another origin."""
    different = [name for name, value in recipe.items() if notes and notes.get(name) != value]
    if different:
        was = ", ".join(f"{name} {notes.get(name)}" for name in different)
        raise UserError(
            f"{folder}: holds frames that were taken otherwise ({was}); choose another folder, or delete it"
        )
    if not notes and any(path.suffix.lower() in (*image_suffixes(), *VIDEOS) for path in folder.iterdir()):
        raise UserError(f"{folder}: holds images already, of another origin; choose another folder")


def _chooser(video: Path, rate: float, step: int, fps: float) -> Callable[[int], int]:
    """Number of a frame -> its number among those that are taken, -1 for the others."""
    if fps > rate * 1.001:
        raise UserError(f"--fps {fps:g}: {video} has {rate:g} frames per second; give at most that")
    share = fps / rate if fps else 1 / step

    def choose(number: int) -> int:
        slot, before = (math.floor(place * share + 1e-6) for place in (number, number - 1))
        return slot if slot > before else -1

    return choose


def _write(reader: FrameReader, choose: Callable[[int], int], folder: Path, kind: str) -> tuple[int, int]:
    """Frames that are taken, and how many of them were not there yet."""

    def write(chosen: tuple[int, np.ndarray]) -> bool:
        number, frame = chosen
        path = folder / f"{number:06d}{kind}"
        if path.exists():  # it is whole
            return False
        write_whole(path, cv2.imencode(kind, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), OPTIONS[kind])[1].tobytes(), False)
        return True

    frames, there, written, checked = _chosen(reader, choose), 0, 0, False
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    with (
        ThreadPoolExecutor(threads) as pool,
        Progress(unit="frames", title=f"take frames out of {reader.path.name}", total=reader.total) as bar,
    ):
        while group := list(itertools.islice(frames, AHEAD * threads)):
            try:
                new = sum(pool.map(write, group))
            except OSError as error:
                raise UserError(f"{error.filename}: {error.strerror}; make room, or choose another folder") from None
            there, written = there + len(group), written + new
            bar.update(reader.whole - bar.done)
            if new and not checked:
                checked = True
                _check_room(folder / f"{group[-1][0]:06d}{kind}", reader, there)
    return there, written


def _chosen(reader: FrameReader, choose: Callable[[int], int]) -> Iterator[tuple[int, np.ndarray]]:
    return ((slot, frame) for number, frame in reader if (slot := choose(number)) >= 0)


def _check_room(sample: Path, reader: FrameReader, there: int) -> None:
    """Raises `UserError` where the rest of the frames does not fit on the disk, judged by one of them."""
    rest = max(reader.total - reader.whole, 0) * there / max(reader.whole, 1)
    words = "the frames take about {needed} more, and {free} are free; choose another folder, --jpg, or fewer frames "
    require_room(sample.parent, sample.stat().st_size * rest, words + "(--step, --fps)")


def _note(folder: Path, notes: dict) -> None:
    write_whole(folder / NOTES, f"{json.dumps(notes, indent=1)}\n".encode())


def _forget(folder: Path) -> None:
    (folder / NOTES).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
