"""Arrays in .npy files and in members of .npz files, which say themselves how large they are: none is believed."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

MOST_PIXELS = 89_478_485  # of an image or a map; from here on Pillow suspects a decompression bomb, as RGB a quarter GB
_LONGEST_HEAD = 1 << 14  # bytes before the numbers
_HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
"""What a damaged file comes to here. Deep brackets in a head end in `RecursionError` or `MemoryError`."""


def read_npy(path: str | Path) -> np.ndarray:
    """The array of an .npy file; memory is taken for what the file holds, whatever it says.

    Raises:
        One of `FAULTS` when it is missing, damaged, another kind of file, or holds Python objects.
    """
    with open(path, "rb") as file:
        return _array(file, Path(path).stat().st_size)


def read_member(archive: zipfile.ZipFile, name: str, most: int) -> np.ndarray:
    """The array `name` of an opened .npz file; raises one of `FAULTS` as `read_npy`, or above `most` bytes."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > most + _LONGEST_HEAD:
        raise ValueError(f"{name} of {info.file_size} bytes instead of {most}")
    with archive.open(info) as file:
        return _array(io.BytesIO(file.read()), info.file_size)


def read_head(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order by columns and type of an array, from the place where it begins up to its numbers.

    Raises:
        One of `FAULTS` when no array begins there.
    """
    version = np.lib.format.read_magic(file)
    if version not in _HEADS:
        raise ValueError(f"format {version} is unknown")
    return _HEADS[version](file)


def measured(depth: np.ndarray) -> np.ndarray:
    """Depth of any shape, 0 where nothing was measured: where it is no number, infinite or not above 0."""
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0)


def _array(file: IO[bytes], length: int) -> np.ndarray:
    shape, by_columns, dtype = read_head(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    bytes_left = length - file.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != bytes_left:
        raise ValueError(f"{bytes_left} bytes are not an array of shape {shape}")
    return np.frombuffer(file.read(), dtype).reshape(shape, order="F" if by_columns else "C")
