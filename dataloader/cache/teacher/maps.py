"""One map of a teacher as one file, with a note of the image it belongs to. Imports no torch.

    image   (1 or 2, H, W), one below the other, as a 16-bit PNG: linear from the least to the greatest value
    grid    (N, s, s) as an .npz: float16 of the values divided by a power of two

What is noted (bounds or divisor, and the state of the image's file) is JSON in a text chunk of the PNG, or in the .npz.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from errors import UserError

from ... import arrays
from ...files import DECODE_FAULTS, open_stored
from ...parts import container

SUFFIXES = {"image": ".png", "grid": ".npz"}
FAULTS = (*DECODE_FAULTS, *arrays.FAULTS)
_CHUNK = "teacher-map"
_LONGEST_NOTE = 1 << 14  # bytes
_TOP = 2**16 - 1
_TRAILER = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class FileState:
    """What tells whether a file has changed: its length in bytes, time of change in ns, and CRC-32.

    A path that names a part of an image stands for the whole file, see `parts`.
    """

    size: int
    mtime: int
    crc: int

    @classmethod
    def of(cls, path: str | Path) -> FileState:
        """State of a file, which is read for it; raises `OSError`."""
        path = container(str(path))
        stat = os.stat(path)
        return cls(stat.st_size, stat.st_mtime_ns, zlib.crc32(Path(path).read_bytes()))

    def fits(self, path: str | Path, thorough: bool = True) -> bool:
        """Whether a file is still the same; one with another time (a copy) is read for that if `thorough`.

        Raises:
            OSError: when it cannot be read.
        """
        path = container(str(path))
        stat = os.stat(path)
        if stat.st_size != self.size:
            return False
        return not thorough or stat.st_mtime_ns == self.mtime or zlib.crc32(Path(path).read_bytes()) == self.crc


def encode(layout: str, values: np.ndarray, source: FileState) -> bytes:
    """Content of the file of a map.

    Args:
        layout: `image` or `grid`.
        values: finite numbers, (1 or 2, H, W) or (N, s, s).
        source: the image's file.
    """
    content = io.BytesIO()
    if layout == "image":
        low, high = float(values.min()), float(values.max())
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        levels = (rows - low) * (_TOP / (high - low) if high > low else 0)
        info = PngInfo()
        info.add_text(_CHUNK, json.dumps({"low": low, "high": high, "source": asdict(source)}))
        Image.fromarray(np.rint(levels).astype(np.uint16)).save(content, "PNG", pnginfo=info, compress_level=1)
        return content.getvalue()
    divisor = 2.0 ** math.frexp(float(np.abs(values).max()))[1]  # a power of two costs no precision
    note = json.dumps({"divisor": divisor, "source": asdict(source)})
    np.savez(content, values=(values / divisor).astype(np.float16), note=np.array(note))
    return content.getvalue()


def decode(layout: str, path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, FileState]:
    """Values of a map, float32 of the shape (1 or 2, H, W) or (N, s, s), and the state its image had.

    Raises:
        ValueError: with a few words, when the file is missing, damaged or of another shape.
    """
    try:
        values, note = _png(path, shape[-2]) if layout == "image" else _npz(path, shape)
        source = _source(note)
    except FileNotFoundError as fault:
        raise ValueError("no such file") from fault
    except UserError as fault:
        raise ValueError(str(fault).removeprefix(f"{path}: ").rpartition("; ")[0]) from fault
    except FAULTS as fault:
        raise ValueError(f"cannot decode, {fault}") from fault
    if values.shape != shape:
        raise ValueError(f"shape {values.shape} instead of {shape}")
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    return values, source


def peek(layout: str, path: Path) -> FileState | None:
    """State the image of a map had, from the ends of the map's file; None where that is missing or cut off."""
    try:
        if layout == "grid":
            with zipfile.ZipFile(path) as stored:
                return _source(_note(stored))
        with path.open("rb") as file:
            with Image.open(file, formats=("PNG",)) as image:
                source = _source(json.loads(image.info[_CHUNK]))
            file.seek(-len(_TRAILER), os.SEEK_END)
            return source if file.read() == _TRAILER else None
    except FAULTS:
        return None


def _png(path: Path, height: int) -> tuple[np.ndarray, dict[str, Any]]:
    image = open_stored(path)
    note = json.loads(image.info[_CHUNK])
    low, high = float(note["low"]), float(note["high"])
    levels = np.asarray(image)
    if levels.dtype.itemsize < 2 or not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("not a map")
    values = (low + levels.astype(np.float32) * np.float32((high - low) / _TOP)).astype(np.float32)
    return (values[None] if len(values) % height else values.reshape(-1, height, values.shape[1])), note


def _npz(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, dict[str, Any]]:
    with zipfile.ZipFile(path) as stored:
        note = _note(stored)
        values = arrays.read_member(stored, "values", math.prod(shape) * np.dtype(np.float16).itemsize)
        with np.errstate(over="ignore", invalid="ignore"):  # `decode` looks at the values
            return values.astype(np.float32) * np.float32(note["divisor"]), note


def _note(stored: zipfile.ZipFile) -> dict[str, Any]:
    return json.loads(str(arrays.read_member(stored, "note", _LONGEST_NOTE)))


def _source(note: dict[str, Any]) -> FileState:
    return FileState(**{name: int(value) for name, value in note["source"].items()})
