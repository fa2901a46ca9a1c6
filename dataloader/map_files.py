"""Depth maps of a whole set in one file: ours, which is sparse and read map by map, and gt_depths.npz of Monodepth2.

Ours is an .npz file of plain arrays, not packed:

    offsets (N + 1,) int64           the pixels of map i are those from offsets[i] up to offsets[i + 1]
    rows, cols (P,) uint16           their places
    values (P,) float32              metres
    shapes (N, 2) int32              height and width of every map
    names (N,) text                  of the images, as CSV tables have them
    ground_truth () text             what the truth is
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from errors import UserError, reason_of

from . import arrays, pickled_maps

_LOCAL_HEAD = struct.Struct("<4s22xHH")  # before every member of a zip file: mark, lengths of its name and extra field
_PIXELS = {"rows": "<u2", "cols": "<u2", "values": "<f4"}
_KINDS = {"offsets": "iu", "shapes": "iu", "names": "U", "ground_truth": "U"}
REMEDY = "make it anew with python -m dataloader.prepare export-gt"


class Maps(Protocol):
    """Depth maps in the order of a list. `names` is empty where the file does not tell which images they are of."""

    names: tuple[str, ...]
    kind: str
    """What the truth is."""

    def __len__(self) -> int:
        """Number of maps."""

    def shape(self, number: int) -> tuple[int, int]:
        """(height, width) of a map."""

    def read(self, number: int) -> np.ndarray:
        """A map (H, W) float32 in metres, 0 = no measurement; raises `UserError` when the file is damaged."""


def open_maps(path: str) -> Maps:
    """The maps of a file; opened once in a process as long as the file stays what it is.

    Raises:
        UserError: when it is missing, or neither of the two.
    """
    try:
        state = os.stat(path)
    except OSError as fault:
        raise UserError(f"{path}: {fault.strerror}; {REMEDY}") from fault
    if not os.path.isfile(path):
        raise UserError(f"{path}: not an ordinary file; {REMEDY}")
    return _open(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _open(path: str, size: int, changed: int) -> Maps:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {info.filename for info in archive.infolist()}
            if "data.npy" in names:
                return pickled_maps.read(path, archive)
            return SparseMaps.of(path, archive, size)
    except arrays.FAULTS as fault:
        raise UserError(f"{path}: no file of depth maps ({reason_of(fault)}); {REMEDY}") from fault


@dataclass(frozen=True)
class SparseMaps:
    """Our file; `starts` are the places in it where the numbers of its long arrays begin."""

    path: str
    names: tuple[str, ...]
    kind: str
    offsets: np.ndarray
    shapes: np.ndarray
    starts: dict[str, int]

    @classmethod
    def of(cls, path: str, archive: zipfile.ZipFile, size: int) -> SparseMaps:
        """What a file says of its maps; raises one of `arrays.FAULTS` unless its parts fit together."""
        short = {name: arrays.read_member(archive, name, size) for name in _KINDS}
        for name, kinds in _KINDS.items():
            if short[name].dtype.kind not in kinds:
                raise ValueError(f"{name} is {short[name].dtype}")
        offsets, shapes = short["offsets"].astype(np.int64), short["shapes"].astype(np.int64)
        count = len(offsets) - 1
        if offsets.ndim != 1 or count < 0 or shapes.shape != (count, 2) or short["names"].shape != (count,):
            raise ValueError("offsets, shapes and names are of different numbers of maps")
        if offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise ValueError("offsets do not rise from 0")
        if count and (shapes.min() < 1 or shapes.max() > 1 << 16 or shapes.prod(axis=1).max() > arrays.MOST_PIXELS):
            raise ValueError("a map has an impossible size")
        with open(path, "rb") as file:
            starts = {name: _start(file, archive, name, kind, int(offsets[-1])) for name, kind in _PIXELS.items()}
        names = tuple(map(str, short["names"].tolist()))
        return cls(path, names, str(short["ground_truth"]), offsets, shapes, starts)

    def __len__(self) -> int:
        return len(self.shapes)

    def shape(self, number: int) -> tuple[int, int]:
        """As `Maps`."""
        height, width = self.shapes[number].tolist()
        return height, width

    def read(self, number: int) -> np.ndarray:
        """As `Maps`."""
        first, last = self.offsets[number : number + 2].tolist()
        parts = {}
        with open(self.path, "rb") as file:
            for name, kind in _PIXELS.items():
                width = np.dtype(kind).itemsize
                file.seek(self.starts[name] + first * width)
                parts[name] = np.frombuffer(file.read((last - first) * width), kind)
        height, width = self.shape(number)
        rows, cols, values = parts.values()
        if not len(rows) == len(cols) == len(values) == last - first:
            raise UserError(f"{self.path}: the file ends early; {REMEDY}")
        if len(rows) and (rows.max() >= height or cols.max() >= width):
            raise UserError(f"{self.path}: map {number} has pixels outside {height} x {width}; {REMEDY}")
        depth = np.zeros((height, width), np.float32)
        depth[rows, cols] = arrays.measured(values)
        return depth


def _start(file: BinaryIO, archive: zipfile.ZipFile, name: str, kind: str, count: int) -> int:
    """Where the numbers of a long array begin; raises ValueError unless they are `count` of `kind`, not packed."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is packed")
    file.seek(info.header_offset)
    mark, title, extra = _LOCAL_HEAD.unpack(file.read(_LOCAL_HEAD.size))
    begin = info.header_offset + _LOCAL_HEAD.size + title + extra
    file.seek(begin)
    shape, _, dtype = arrays.read_head(file)
    bytes_there = file.tell() - begin + count * dtype.itemsize
    if mark != b"PK\x03\x04" or dtype != np.dtype(kind) or shape != (count,) or bytes_there != info.file_size:
        raise ValueError(f"{name} is {dtype} of shape {shape}")
    return file.tell()


def write_maps(path: Path, named: Iterable[tuple[str, np.ndarray]], kind: str) -> int:
    """Write (name, map (H, W) in metres) as our file, whole or not at all; holds one map at a time.

    kind: what the truth is

    Returns: number of pixels.   Raises: UserError when it cannot be written.
    """
    parts = {name: path.with_name(f".{path.name}.{os.getpid()}.{name}.tmp") for name in (*_PIXELS, "file")}
    names, shapes, offsets = [], [], [0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files = {name: open(parts[name], "wb") for name in _PIXELS}
        try:
            for name, depth in named:
                rows, cols = np.nonzero(depth)
                for part, pixels in zip(_PIXELS, (rows, cols, depth[rows, cols]), strict=True):
                    files[part].write(pixels.astype(_PIXELS[part]).tobytes())
                names.append(name)
                shapes.append(depth.shape)
                offsets.append(offsets[-1] + len(rows))
        finally:
            for file in files.values():
                file.close()
        short = {
            "offsets": np.array(offsets, np.int64),
            "shapes": np.array(shapes, np.int32).reshape(-1, 2),
            "names": np.array(names, np.str_),
            "ground_truth": np.array(kind, np.str_),
        }
        _assemble(parts["file"], short, {name: parts[name] for name in _PIXELS}, offsets[-1])
        os.replace(parts["file"], path)
    except OSError as fault:
        raise UserError(f"{path}: cannot write ({fault.strerror}); choose another folder or make room") from fault
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return offsets[-1]


def _assemble(path: Path, short: dict[str, np.ndarray], long: dict[str, Path], count: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in short.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        for name, source in long.items():
            head = {"descr": _PIXELS[name], "fortran_order": False, "shape": (count,)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member, open(source, "rb") as numbers:
                np.lib.format.write_array_header_1_0(member, head)
                while block := numbers.read(1 << 22):
                    member.write(block)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
