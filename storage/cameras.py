"""Cameras that people write beside their images: intrinsics.txt, and cameras.txt of COLMAP.

intrinsics.txt  fx fy cx cy, or the 3 x 3 matrix; in pixels of the files, or divided by their width and height
cameras.txt     what `colmap model_converter --output_type TXT` writes; also in sparse/ and sparse/0/

Source: COLMAP's documentation of its output format and camera models.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from errors import UserError

from .text import read_text

INTRINSICS = "intrinsics.txt"
COLMAP = ("cameras.txt", "sparse/cameras.txt", "sparse/0/cameras.txt")
WANTED = "write fx fy cx cy, or the 3 x 3 matrix of them"
MOST_BYTES = 1 << 24
FOCAL = 10.0  # a focal length below is divided by the size of the image: in pixels it would be that of a stamp
SAME = 1e-3  # relative difference up to which two places tell the same camera
MODELS = {"SIMPLE_PINHOLE": "fcc", "PINHOLE": "ffcc", "SIMPLE_RADIAL": "fcck", "RADIAL": "fcckk", "OPENCV": "ffcckkpp"}
"""Parameters of COLMAP's models in their order: focal lengths, centre, radial and tangential distortion."""
OTHERS = (
    "OPENCV_FISHEYE",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
)
"""Models whose distortion is their point."""
UNDISTORT = (
    "undistort the images first: colmap image_undistorter --image_path IMAGES --input_path SPARSE --output_path OUT, "
    "then colmap model_converter --input_path OUT/sparse --output_path OUT/sparse --output_type TXT"
)
MOST_DISTORTED = 1.0  # pixels of a 640 wide image by which a lens may move what it shows

Size = tuple[int, int]
Unit = Literal["pixels", "normalised"]


@dataclass(frozen=True)
class Camera:
    """What a file tells of the camera of images.

    values: fx, fy, cx, cy
    unit:   pixels of the images, or "normalised": divided by their width and height
    place:  the file
    doubt:  a sentence for a warning, or ""
    """

    values: tuple[float, ...]
    unit: Unit
    place: Path
    doubt: str = ""

    def in_pixels(self, size: Size) -> tuple[float, ...]:
        """fx, fy, cx, cy in pixels of (height, width) images."""
        return in_pixels(self.values, size) if self.unit == "normalised" else self.values


def in_pixels(normalised: Sequence[float], size: Size) -> tuple[float, ...]:
    """Normalised fx, fy, cx, cy in pixels of (height, width) images."""
    return tuple(value * side for value, side in zip(normalised, size[::-1] * 2, strict=True))


def unit_of(values: Sequence[float]) -> Unit | None:
    """Whether fx, fy, cx, cy are pixels or divided by width and height; None where they may be a mixture of both."""
    fx, fy, cx, cy = values
    small = (fx < FOCAL, fy < FOCAL, 0 < cx < 1, 0 < cy < 1)
    return "normalised" if all(small) else None if any(small) else "pixels"


def find_camera(folders: Iterable[Path], size: Size) -> Camera | None:
    """The camera of (height, width) images that the first of some folders tells; None where none does.

    Raises:
        UserError: when a file cannot be used, or two files of a folder tell different cameras.
    """
    for folder in folders:
        found = [_read_intrinsics(folder / INTRINSICS)] if (folder / INTRINSICS).is_file() else []
        found += [_read_colmap(folder / name, size) for name in COLMAP if (folder / name).is_file()][:1]
        if len(found) == 2 and not alike(*(each.in_pixels(size) for each in found)):
            raise UserError(f"{found[0].place} and {found[1].place}: tell different cameras; keep one of them")
        if found:
            return found[0]
    return None


def has_camera(folder: Path) -> bool:
    """Whether a folder has a file that `find_camera` reads."""
    return any((folder / name).is_file() for name in (INTRINSICS, *COLMAP))


def alike(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two times four numbers tell the same camera, but for rounding."""
    return all(math.isclose(one, other, rel_tol=SAME) for one, other in zip(first, second, strict=True))


def _lines(path: Path) -> list[str]:
    """Lines that are no comments and not empty."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: {path.stat().st_size} bytes are more than a camera needs; check the file")
        text = read_text(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is no text; {WANTED}") from None
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _number(path: Path, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}: {word[:40]!r} is not a number; {WANTED}")
    return value


def _read_intrinsics(path: Path) -> Camera:
    text = " ".join(_lines(path))
    for sign in ",;[]()":
        text = text.replace(sign, " ")
    numbers = tuple(_number(path, word) for word in text.split())
    if len(numbers) == 9:
        fx, skew, cx, zero, fy, cy, *last = numbers
        if zero or last != [0, 0, 1]:
            raise UserError(f"{path}: not the rows fx 0 cx, 0 fy cy, 0 0 1 of a camera matrix; {WANTED}")
        if skew:
            raise UserError(f"{path}: skew of {skew:g}, which no camera here has; write fx fy cx cy to do without it")
        numbers = (fx, fy, cx, cy)
    if len(numbers) != 4:
        raise UserError(f"{path}: {len(numbers)} numbers; {WANTED}")
    if min(numbers[:2]) <= 0:
        raise UserError(f"{path}: focal lengths {numbers[0]:g}, {numbers[1]:g} must be positive; {WANTED}")
    unit = unit_of(numbers)
    if unit is None:
        raise UserError(
            f"{path}: {', '.join(f'{each:g}' for each in numbers)} are neither all pixels nor all divided by width and "
            "height; give fx fy cx cy in pixels of the files"
        )
    return Camera(numbers, unit, path)


def _read_colmap(path: Path, size: Size) -> Camera:
    """The camera of images of this size; where several fit, they must be the same."""
    rows = [(number, line.split()) for number, line in enumerate(_lines(path), 1)]
    fitting, others = [], []
    for number, words in rows:
        if len(words) < 5 or not (words[2].isdecimal() and words[3].isdecimal()) or "0" in words[2:4]:
            raise UserError(
                f"{path}: line {number} that is no comment is not CAMERA_ID MODEL WIDTH HEIGHT PARAMS; let COLMAP "
                "write it again (colmap model_converter --output_type TXT)"
            )
        stored = int(words[3]), int(words[2])
        (fitting if _same_shape(stored, size) else others).append((words, stored))
    if not fitting:
        sizes = ", ".join(sorted({f"{stored[0]} x {stored[1]}" for _, stored in others})) or "no camera at all"
        raise UserError(
            f"{path}: for images of {sizes}, and these are {size[0]} x {size[1]} (height x width) of another shape; "
            f"put the numbers for these images into {INTRINSICS}"
        )
    cameras = [_colmap_camera(path, words, stored, size) for words, stored in fitting]
    if not all(alike(one.values, other.values) for one, other in itertools.pairwise(cameras)):
        raise UserError(
            f"{path}: {len(cameras)} cameras fit images of {size[0]} x {size[1]} (height x width); let COLMAP find one "
            f"for all (--ImageReader.single_camera 1), or put the numbers into {INTRINSICS} of every sequence"
        )
    return cameras[0]


def _same_shape(stored: Size, size: Size) -> bool:
    """Whether images of one size may be those of the other, resized: the shorter side is off by a pixel at most."""
    scale = max(stored) / max(size)
    return all(abs(one / scale - other) <= 1 for one, other in zip(stored, size, strict=True))


def _colmap_camera(path: Path, words: Sequence[str], stored: Size, size: Size) -> Camera:
    name, kinds = words[1].upper(), MODELS.get(words[1].upper(), "")
    if name in OTHERS:
        raise UserError(f"{path}: camera model {name} has distortion, which no camera here has; {UNDISTORT}")
    if not kinds:
        raise UserError(f"{path}: unknown camera model {words[1][:40]}; known are {', '.join(MODELS)}")
    if len(words) - 4 != len(kinds):
        raise UserError(f"{path}: {len(words) - 4} parameters of a {name}, which has {len(kinds)}; let COLMAP write it")
    numbers = [_number(path, word) for word in words[4:]]
    focal, centre, radial, tangential = (
        [number for number, kind in zip(numbers, kinds, strict=True) if kind == wanted] for wanted in "fckp"
    )
    values = (focal[0], focal[-1], *centre)
    if min(values[:2]) <= 0:
        raise UserError(f"{path}: focal lengths {values[0]:g}, {values[1]:g} must be positive; let COLMAP write it")
    down, across = size[0] / stored[0], size[1] / stored[1]
    resized = tuple(value * scale for value, scale in zip(values, (across, down) * 2, strict=True))
    moved = _most_moved(values, radial, tangential, stored) * 640 / stored[1]
    if moved > MOST_DISTORTED:
        raise UserError(
            f"{path}: distortion of the {name} moves pixels by up to {moved:.1f} of 640, and no camera here has any; "
            f"{UNDISTORT}"
        )
    told = f"{path}: distortion of up to {moved:.2f} pixels of 640 is left out of account; {UNDISTORT}"
    return Camera(resized, "pixels", path, told if any((*radial, *tangential)) else "")


def _most_moved(values: Sequence[float], radial: Sequence[float], tangential: Sequence[float], size: Size) -> float:
    """Pixels by which distortion moves the corners and the middles of the sides of (height, width) images."""
    fx, fy, cx, cy = values
    k1, k2 = (*radial, 0.0, 0.0)[:2]
    p1, p2 = tangential or (0.0, 0.0)
    height, width = size
    most = 0.0
    for column, row in itertools.product((0, cx, width), (0, cy, height)):
        x, y = (column - cx) / fx, (row - cy) / fy
        squared = x * x + y * y
        bent = k1 * squared + k2 * squared * squared
        dx = x * bent + 2 * p1 * x * y + p2 * (squared + 2 * x * x)
        dy = y * bent + 2 * p2 * x * y + p1 * (squared + 2 * y * y)
        most = max(most, math.hypot(fx * dx, fy * dy))
    return most
