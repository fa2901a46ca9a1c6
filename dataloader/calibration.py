"""KITTI calibration files."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from errors import UserError


@lru_cache(maxsize=64)
def read_calibration(path: Path) -> dict[str, np.ndarray]:
    """Numbers of a KITTI calibration file by key; lines that hold none (dates) are left out.

    Raises:
        UserError: when the file is missing or is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: cannot read the calibration ({fault}); unpack the calibration archive") from fault
    values = {}
    for line in lines:
        key, _, rest = line.partition(":")
        try:
            values[key.strip()] = np.array(rest.split(), np.float64)
        except ValueError:
            continue
    return values


def calibration_entry(path: Path, key: str, *shape: int) -> np.ndarray:
    """One entry of a calibration file, as a float64 array of `shape`.

    Raises:
        UserError: when it is absent or has another number of values.
    """
    values = read_calibration(path).get(key)
    if values is None or values.size != np.prod(shape):
        found = "no values" if values is None else f"{values.size} values"
        raise UserError(f"{path}: {found} for {key}, expected {np.prod(shape)}; fetch the calibration file again")
    return values.reshape(shape)


def focal_length(path: Path, camera: int, rectified: bool = True) -> float:
    """Mean of fx and fy of a colour camera, in pixels of the rectified (or of the unrectified) image."""
    if rectified:
        matrix = calibration_entry(path, f"P_rect_{camera:02d}", 3, 4)
    else:
        matrix = calibration_entry(path, f"K_{camera:02d}", 3, 3)
    return float((matrix[0, 0] + matrix[1, 1]) / 2)
