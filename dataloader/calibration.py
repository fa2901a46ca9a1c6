"""Calibration files of KITTI, and the cameras of Cityscapes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from errors import UserError
from storage.text import read_text

from .index import read_json
from .listing import on_disk

REMEDY = "fetch the calibration file again"
STEREO_REMEDY = "unpack camera_trainvaltest.zip again"
ROTATION_TOLERANCE = 1e-2  # published ones are given with seven digits
LONGEST_SIDE = 1 << 14  # of an image, pixels
SMALLEST, LARGEST = (float(each) for each in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


@lru_cache(maxsize=64)
def read_calibration(path: Path) -> dict[str, tuple[int, np.ndarray]]:
    """Line and numbers of every key of a KITTI calibration file; lines that hold none (dates) are left out.

    Raises:
        UserError: when the file is missing or is no text.
    """
    try:
        lines = read_text(on_disk(path)).splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: cannot read the calibration ({fault}); unpack the calibration archive") from fault
    values = {}
    for number, line in enumerate(lines, start=1):
        key, _, rest = line.partition(":")
        try:
            values[key.strip()] = (number, np.array(rest.split(), np.float64))
        except ValueError:
            continue
    return values


def calibration_entry(path: Path, key: str, *shape: int) -> np.ndarray:
    """One entry of a calibration file, as a float64 array of `shape`.

    Raises:
        UserError: when it is absent, or has another number of values or some that are not finite.
    """
    if key not in read_calibration(path):
        raise UserError(f"{path}: no values for {key}, expected {np.prod(shape)}; {REMEDY}")
    line, values = read_calibration(path)[key]
    if values.size != np.prod(shape):
        raise UserError(f"{path}, line {line}: {values.size} values for {key}, expected {np.prod(shape)}; {REMEDY}")
    if not np.isfinite(values).all():
        raise UserError(f"{path}, line {line}: a value of {key} is not finite; {REMEDY}")
    if np.abs(values).max() > LARGEST:
        raise UserError(f"{path}, line {line}: a value of {key} is too large for float32; {REMEDY}")
    return values.reshape(shape)


def rotation(path: Path, key: str) -> np.ndarray:
    """One entry that is a rotation, (3, 3) float64; raises `UserError` where it is not."""
    matrix = calibration_entry(path, key, 3, 3)
    if not np.allclose(matrix @ matrix.T, np.eye(3), atol=ROTATION_TOLERANCE):
        raise UserError(f"{path}, line {read_calibration(path)[key][0]}: {key} is not a rotation; {REMEDY}")
    return matrix


def projection(path: Path, key: str, *shape: int) -> np.ndarray:
    """One entry that is a camera matrix, float64 of `shape`.

    Raises:
        UserError: when its focal lengths are not positive in float32.
    """
    matrix = calibration_entry(path, key, *shape)
    if min(matrix[0, 0], matrix[1, 1]) < SMALLEST:
        raise UserError(
            f"{path}, line {read_calibration(path)[key][0]}: {key} has focal lengths {matrix[0, 0]:g} and "
            f"{matrix[1, 1]:g}; {REMEDY}"
        )
    return matrix


def focal_length(path: Path, camera: int, rectified: bool = True) -> float:
    """Mean of fx and fy of a colour camera, in pixels of the rectified (or of the unrectified) image."""
    if rectified:
        matrix = projection(path, f"P_rect_{camera:02d}", 3, 4)
    else:
        matrix = projection(path, f"K_{camera:02d}", 3, 3)
    return float((matrix[0, 0] + matrix[1, 1]) / 2)


def rectified_size(path: Path, camera: int) -> tuple[int, int]:
    """(height, width) of the rectified images of a colour camera (2 left, 3 right).

    Where the right camera has none, that of the left one serves, as in the published preparation.

    Raises:
        UserError: when it is absent or no size of an image.
    """
    key = f"S_rect_{camera:02d}"
    if key not in read_calibration(path):
        key = "S_rect_02"
    width, height = calibration_entry(path, key, 2)
    if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
        raise UserError(f"{path}: {key} {width:g} x {height:g} is no size of an image; {REMEDY}")
    return int(height), int(width)


def baseline_times_focal(path: Path) -> float:
    """Baseline in metres times fx in pixels, from a camera.json of Cityscapes.

    Raises:
        UserError: when the file cannot be read or one of the two is not positive.
    """
    baseline, focal = _positive(path, ("extrinsic", "baseline"), ("intrinsic", "fx"))
    return baseline * focal


def read_camera(path: Path) -> tuple[float, ...]:
    """fx, fy, cx, cy in pixels of the whole image, from a camera.json of Cityscapes.

    Raises:
        UserError: when the file cannot be read or one of them is not positive.
    """
    return _positive(path, *(("intrinsic", name) for name in ("fx", "fy", "u0", "v0")))


def _positive(path: Path, *names: tuple[str, str]) -> tuple[float, ...]:
    """Numbers of a camera.json, each by the group it is in and its name."""
    stored = read_json(path, STEREO_REMEDY)
    values = []
    for group, name in names:
        entry = stored.get(group)
        value = entry.get(name) if isinstance(entry, dict) else None
        if not isinstance(value, int | float) or not SMALLEST <= value <= LARGEST:
            raise UserError(f"{path}: {group} {name} is {value!r}, not a positive number; {STEREO_REMEDY}")
        values.append(float(value))
    return tuple(values)
