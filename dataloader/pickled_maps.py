"""gt_depths.npz as Monodepth2 and its heirs export it: an array of arrays, which NumPy reads by executing a pickle.

Nothing is executed here. The few instructions that such a file needs are followed, what they would call is replaced by
plain records, and every map is made sparse as soon as it is read, so that the dense maps are never in memory together.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from errors import UserError, reason_of

from . import arrays

MEMBER = "data.npy"
LONGEST = 1 << 28  # bytes of one map
LARGE = 1 << 12  # bytes that are not remembered
MOST_MAPS = 1 << 20
_LINE = 200
_INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "MEMOIZE", "REDUCE", "BUILD"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "GLOBAL", "STACK_GLOBAL"),
    *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
)
_FAULTS = (*arrays.FAULTS, pickle.UnpicklingError, IndexError, RecursionError)


class PickledMaps:
    """All maps of such a file, sparse, in memory; they have no names and are in the order of the exported list."""

    names: tuple[str, ...] = ()
    kind = "as exported, no kind noted"

    def __init__(self, maps: list[Sparse]):
        self._maps = maps

    def __len__(self) -> int:
        return len(self._maps)

    def shape(self, number: int) -> tuple[int, int]:
        """(height, width) of a map."""
        return self._maps[number].shape

    def read(self, number: int) -> np.ndarray:
        """A map (H, W) float32 in metres, 0 = no measurement."""
        return self._maps[number].dense()


class Sparse:
    """The measured pixels of one depth map (H, W)."""

    def __init__(self, depth: np.ndarray):
        if depth.ndim != 2:
            raise ValueError(f"an array of shape {depth.shape} is no depth map")
        self.shape: tuple[int, int] = depth.shape
        with np.errstate(invalid="ignore", over="ignore"):
            known = np.flatnonzero(np.isfinite(depth) & (depth > 0))
            self._places, self._values = known.astype(np.uint32), depth.reshape(-1)[known].astype(np.float32)

    def dense(self) -> np.ndarray:
        """All pixels, float32, 0 where nothing was measured."""
        depth = np.zeros(self.shape, np.float32)
        depth.reshape(-1)[self._places] = self._values
        return depth


def read(path: str, archive: zipfile.ZipFile) -> PickledMaps:
    """The maps of an opened file; equal sizes make it one array, which is read likewise.

    Raises:
        UserError: when it asks for more than arrays of numbers, or is damaged.
    """
    try:
        with archive.open(MEMBER) as file:
            shape, by_columns, dtype = arrays.read_head(file)
            if not dtype.hasobject:
                return PickledMaps(list(_equal_maps(file, shape, by_columns, dtype)))
            if len(shape) != 1 or shape[0] > MOST_MAPS:
                raise ValueError(f"an array of shape {shape} is no list of depth maps")
            content = _Reader(_Bounded(file)).load()
    except _FAULTS as fault:
        raise UserError(
            f"{path}: more than depth maps in a pickle, or damaged ({reason_of(fault)}); nothing in it is executed; "
            "export the ground truth with python -m dataloader.prepare export-gt, or save each map as an .npy file"
        ) from fault
    maps = content.items if isinstance(content, _Array) else None
    if maps is None or len(maps) != shape[0] or not all(isinstance(each, _Array) and each.map for each in maps):
        raise UserError(f"{path}: not a list of depth maps; export it with python -m dataloader.prepare export-gt")
    return PickledMaps([each.map for each in maps])


def _equal_maps(file: IO[bytes], shape: tuple[int, ...], by_columns: bool, dtype: np.dtype) -> Iterator[Sparse]:
    """Maps of one array (N, H, W), one after the other."""
    if len(shape) != 3 or by_columns or dtype.kind not in "fiu" or min(shape) < 1:
        raise ValueError(f"{dtype} of shape {shape} is no list of depth maps")
    height, width = shape[1:]
    length = height * width * dtype.itemsize
    if length > LONGEST:
        raise ValueError("a map is larger than any image")
    for _ in range(shape[0]):
        content = file.read(length)
        if len(content) < length:
            raise EOFError("the file ends early")
        yield Sparse(np.frombuffer(content, dtype).reshape(height, width))


class _Type:
    """Stands for numpy.dtype."""

    def __init__(self, code: object = "", *_: object):
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def numbers(self) -> np.dtype:
        """The type; raises ValueError where it is not that of plain numbers."""
        if not (isinstance(self.code, str) and re.fullmatch(r"[fiu][1248]", self.code)) or self.order not in "<>|=":
            raise ValueError(f"{self.code!r} is no type of numbers")
        return np.dtype(self.code).newbyteorder(self.order)


class _Array:
    """Stands for numpy.ndarray: a depth map, or a list of what was in it."""

    def __init__(self) -> None:
        self.map: Sparse | None = None
        self.items: list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, content = state
        if isinstance(content, list):
            self.items = content
            return
        dtype = kind.numbers()
        if not isinstance(content, bytes):
            raise ValueError("an array without numbers")
        height, width = (int(side) for side in shape)
        if min(height, width) < 0 or height * width * dtype.itemsize != len(content):
            raise ValueError(f"{len(content)} bytes are no depth map of {height} x {width}")
        self.map = Sparse(np.frombuffer(content, dtype).reshape((height, width), order="F" if by_columns else "C"))


def _new_array(*_: object) -> _Array:
    return _Array()


def _encoded(text: object, _: object = "") -> bytes:
    """How protocol 2 writes bytes."""
    if not isinstance(text, str):
        raise ValueError("no text to encode")
    return text.encode("latin1")


class _ArrayClass:
    """Stands for the name of the class; nobody calls it."""

    def __init__(self, *_: object):
        raise ValueError("an array is made in another way than NumPy's")


_STAND_INS = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _new_array for core in ("core", "_core")},
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}


class _Memory(dict):
    """What a pickle may come back to; the numbers of maps are not among it."""

    def __setitem__(self, place: int, value: Any) -> None:
        parts = value if isinstance(value, tuple) else (value,)
        large = any(isinstance(part, bytes | str) and len(part) > LARGE for part in parts)
        super().__setitem__(place, None if large else value)


class _Bounded:
    """The pickle; no part of it is longer than a map."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def read(self, length: int) -> bytes:
        """Exactly so many bytes."""
        if length > LONGEST:
            raise ValueError("a part is larger than any depth map")
        content = self._file.read(length)
        if len(content) < length:
            raise EOFError("the file ends early")
        return content

    def readline(self) -> bytes:
        """A short line."""
        return self._file.readline(_LINE)


class _Reader(pickle._Unpickler):  # the one in Python, whose instructions can be chosen
    """Follows the instructions of an array of arrays, with stand-ins for all that they call."""

    dispatch = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _INSTRUCTIONS
    }

    def __init__(self, file: _Bounded):
        super().__init__(file)
        self.memo = _Memory()

    def _build(self) -> None:
        """Gives a stand-in its state; the instruction would write into anything."""
        state, made = self.stack.pop(), self.stack[-1]
        if not isinstance(made, _Array | _Type):
            raise ValueError("a state for something else than an array")
        made.__setstate__(state)

    dispatch[pickle.BUILD[0]] = _build

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; raises ValueError for anything but NumPy's arrays."""
        if (module, name) not in _STAND_INS:
            raise ValueError(f"it calls {module[:60]}.{name[:60]}")
        return _STAND_INS[module, name]
