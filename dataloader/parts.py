"""Pictures that are a part of an image file; each has a path of its own, ``<file>::<part>``.

upper       the upper three quarters: what Cityscapes sees above the bonnet of the car that carries the camera
rows/N      the N-th from 0 of three pictures above one another
columns/N   the N-th from 0 of three pictures beside one another
rectified   a raw frame of NYU Depth v2 without the distortion of its lens and without 16 pixels on every side
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from . import nyu_files
from .camera import Intrinsics, Size
from .catalog import NYU_CAMERA
from .window import PixelWindow

STACK = 3
"""Frames in one file of a triplet."""
UPPER = PixelWindow(rows=(0, 768), columns=(0, 2048), of=(1024, 2048))
NYU_DISTORTION = (
    0.20796615318809061,
    -0.58613825163911781,
    0.00072231363135888329,
    0.0010479627195765181,
    0.49856986684705107,
)
"""k1, k2, p1, p2, k3."""
NYU_INNER = PixelWindow(rows=(16, 464), columns=(16, 624), of=(480, 640))
_PART = re.compile(
    r"(?P<file>.+\.\w{2,4})::(?P<part>upper|rectified|(?P<along>rows|columns)/(?P<number>[0-2]))", re.DOTALL
)


class Part(NamedTuple):
    """What is taken of a picture; `upright`: its distortion goes first."""

    file: str
    window: PixelWindow
    upright: bool = False


def upper(file: str) -> str:
    """Path of the part `upper` of an image file."""
    return f"{file}::upper"


def third(file: str, along: str, number: int) -> str:
    """Path of one of three pictures in a file that are stacked along its "rows" or "columns"."""
    return f"{file}::{along}/{number}"


def rectified(file: str) -> str:
    """Path of the part `rectified` of an image file."""
    return f"{file}::rectified"


def part_of(path: str) -> Part | None:
    """The part that a path names; None where it names a whole file."""
    match = _PART.fullmatch(path)
    if match is None:
        return None
    if match["along"] is None:
        inner = match["part"] == "rectified"
        return Part(match["file"], NYU_INNER if inner else UPPER, inner)
    run, whole = (int(match["number"]), int(match["number"]) + 1), (0, 1)
    if match["along"] == "rows":
        return Part(match["file"], PixelWindow(rows=run, columns=whole, of=(STACK, 1)))
    return Part(match["file"], PixelWindow(rows=whole, columns=run, of=(1, STACK)))


def container(path: str) -> str:
    """The file to which a path leads that may name a part of an image, or something in an HDF5 file."""
    part = part_of(path)
    return part.file if part else nyu_files.container(path)


def take(part: Part, read: Callable[[str], Image.Image]) -> Image.Image:
    """The picture itself; `read` decodes the file, a triplet once for all of its frames."""
    if part.window.of in ((STACK, 1), (1, STACK)):
        status = os.stat(part.file) if os.path.isfile(part.file) else None
        image = _decoded(part.file, status and (status.st_mtime_ns, status.st_size), read)
    else:
        image = read(part.file)
    if part.upright:
        image = _without_distortion(image)
    return image.crop(part.window.box((image.height, image.width)))


@lru_cache(maxsize=2)
def _decoded(file: str, state: object, read: Callable[[str], Image.Image]) -> Image.Image:
    """A file as it is in this state."""
    return read(file)


def size_of(part: Part, size: Size) -> Size:
    """(height, width) of a part of a picture of (height, width)."""
    rows, columns = part.window.slices(size)
    return rows.stop - rows.start, columns.stop - columns.start


def uncut(path: str, intrinsics: Intrinsics, size: Size) -> tuple[Intrinsics, Size]:
    """Intrinsics and (height, width) of what a camera saw, from those of the part that a path names.

    Triplets have the upper three quarters of what the camera saw, like `upper`.
    """
    part = part_of(path)
    if part is None:
        return intrinsics, size
    window = NYU_INNER if part.upright else UPPER
    (top, bottom), (left, right), (height, width) = window.rows, window.columns, window.of
    down, across = (bottom - top) / height, (right - left) / width
    fx, fy, cx, cy = intrinsics
    whole = (round(size[0] / down), round(size[1] / across))
    return (fx * across, fy * down, cx * across + left / width, cy * down + top / height), whole


def _without_distortion(image: Image.Image) -> Image.Image:
    """A frame of NYU's colour camera as one without distortion would have taken it; black where that saw nothing."""
    import cv2  # late: few data sets need it

    columns, rows = _undistortion(image.height, image.width)
    return Image.fromarray(cv2.remap(np.asarray(image), columns, rows, cv2.INTER_LINEAR))


@lru_cache(maxsize=4)
def _undistortion(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of an undistorted image of this size come from, as `cv2.remap` wants it."""
    import cv2

    fx, fy, cx, cy = NYU_CAMERA
    matrix = np.array([[fx * width, 0, cx * width], [0, fy * height, cy * height], [0, 0, 1]])
    return cv2.initUndistortRectifyMap(matrix, np.array(NYU_DISTORTION), None, matrix, (width, height), cv2.CV_16SC2)
