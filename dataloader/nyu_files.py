"""NYU Depth v2 in HDF5: the labelled .mat file of MATLAB 7.3, and one .h5 file per image as StructDepth has it.

What lies in such a file has a path of its own: ``.../nyu_depth_v2_labeled.mat::images/45`` or ``.../00001.h5::rgb``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from errors import UserError, reason_of

from . import arrays

if TYPE_CHECKING:
    import h5py

_MEMBER = re.compile(r"(?P<file>.+\.(?:mat|h5))::(?P<name>\w+)(?:/(?P<index>\d{1,9}))?", re.IGNORECASE | re.DOTALL)
FRAMED = (slice(7, 474), slice(7, 632))
"""Rows and columns of the labelled images that hold a picture; around it there is a white frame."""
MOST_PIXELS = 1 << 24  # of an image
MOST_CHUNK = 1 << 30  # bytes that HDF5 unpacks at a time
_FAULTS = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError)


def member(file: str, name: str, index: int | None = None) -> str:
    """Path of a data set in a file, or of one of the images in it."""
    return f"{file}::{name}" if index is None else f"{file}::{name}/{index}"


def is_member(path: object) -> bool:
    """Whether a path names something in such a file."""
    return _MEMBER.fullmatch(str(path)) is not None


def container(path: str) -> str:
    """The file to which a path leads; the path itself where it names a file."""
    match = _MEMBER.fullmatch(path)
    return match["file"] if match else path


def read_picture(path: str) -> Image.Image:
    """A picture in such a file; labelled images are black where they have their white frame, as BTS extracts them.

    Raises:
        UserError: when the file is missing or damaged, or has no picture there.
    """
    values = _read(path, "u1", (3, None, None)).transpose(1, 2, 0)
    if not _is_labelled(path):
        return Image.fromarray(np.ascontiguousarray(values))
    picture = np.zeros(values.shape, np.uint8)
    picture[FRAMED] = values[FRAMED]
    return Image.fromarray(picture)


def read_depth(path: str) -> np.ndarray:
    """Depth in such a file.

    Returns: (H, W) float32 metres, 0 = no measurement.

    Raises:
        UserError: when the file is missing or damaged, or has no depth there.
    """
    return arrays.measured(_read(path, "f", (None, None)).astype(np.float32))


def size_of(path: str) -> tuple[int, int]:
    """(height, width) of a picture or a depth map in such a file, of which nothing else is read; raises `UserError`."""
    with _opened(path) as (data, index):
        shape = data.shape[-2:] if len(data.shape) >= 2 + (index is not None) else ()
        height, width = _checked(path, shape, (None, None))
    return (width, height) if _is_labelled(path) else (height, width)


def count_labelled(file: str) -> int:
    """Number of labelled images; raises `UserError` when the file is not the labelled data set."""
    counts = {}
    for name, dimensions in (("images", 4), ("rawDepths", 3)):
        with _opened(member(file, name)) as (data, _):
            if len(data.shape) != dimensions:
                raise UserError(f"{file}: {name} has shape {data.shape}; fetch the labelled data set again")
            counts[name] = data.shape[0]
    if counts["images"] != counts["rawDepths"]:
        raise UserError(f"{file}: {counts['images']} images, but {counts['rawDepths']} depth maps; fetch it again")
    return counts["images"]


def scene_types(file: str, count: int) -> list[str]:
    """Kind of room of every labelled image, such as "home_office"; raises `UserError` when they cannot be read."""
    path = member(file, "sceneTypes")
    with _opened(path) as (data, _):
        references = np.asarray(data[...]).reshape(-1)
        if len(references) != count:
            raise UserError(f"{path}: {len(references)} entries for {count} images; fetch it again")
        return [_word(path, data.file, reference) for reference in references]


def _word(path: str, file: h5py.File, reference: h5py.Reference) -> str:
    """Text that a reference leads to, as codes of its characters; something that a folder can be called."""
    codes = file[reference]
    if codes.size > 80:
        raise UserError(f"{path}: an entry of {codes.size} characters; fetch it again")
    word = "".join(map(chr, np.asarray(codes[...]).reshape(-1)))
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", word):
        raise UserError(f"{path}: {word!r} is no kind of room; fetch it again")
    return word


def _is_labelled(path: str) -> bool:
    """Whether a file comes from MATLAB, whose arrays look transposed from here."""
    return container(path).lower().endswith(".mat")


def _read(path: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array in its orientation; `kind` is a NumPy kind, and its size where only one will do."""
    with _opened(path) as (data, index):
        _checked(path, data.shape if index is None else data.shape[1:], shape)
        if not data.dtype.str[1:].startswith(kind):
            raise UserError(f"{path}: {data.dtype} values are of another kind than expected; fetch the file again")
        values = data[...] if index is None else data[index]
    return values.swapaxes(-1, -2) if _is_labelled(path) else values


def _checked(path: str, found: tuple[int, ...], wanted: tuple[int | None, ...]) -> tuple[int, ...]:
    fits = len(found) == len(wanted) and all(side in (None, there) for side, there in zip(wanted, found, strict=True))
    if not fits or not 0 < math.prod(found) <= 3 * MOST_PIXELS:
        shape = " x ".join("n" if side is None else str(side) for side in wanted)
        raise UserError(f"{path}: shape {found} instead of {shape}; fetch the file again")
    return found


@contextmanager
def _opened(path: str) -> Iterator[tuple[h5py.Dataset, int | None]]:
    """The data set that a path names, and the number of the image in it.

    Raises:
        UserError: when there is none, it does not lie in the file itself, or what is done with it fails.
    """
    import h5py  # late: takes long, and few data sets need it

    match = _MEMBER.fullmatch(path)
    file, name = match["file"], match["name"]
    index = None if match["index"] is None else int(match["index"])
    if not os.path.isfile(file):
        raise UserError(f"{file}: no such file; check the data folder with python -m dataloader.check")
    try:
        with h5py.File(file, "r") as archive:
            data = archive[name] if isinstance(archive.get(name, getlink=True), h5py.HardLink) else None
            if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
                raise UserError(f"{file}: no data set {name} in it; fetch it again")
            if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > MOST_CHUNK:
                raise UserError(f"{file}: {name} is kept in parts that fill the memory; fetch it again")
            if index is not None and index >= (data.shape or (0,))[0]:
                raise UserError(f"{path}: there are {(data.shape or (0,))[0]}; fetch the file again")
            yield data, index
    except _FAULTS as fault:
        raise UserError(f"{path}: cannot read ({reason_of(fault)}); fetch the file again") from fault
