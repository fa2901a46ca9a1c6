"""Many pictures of one kind and size in one file.

    pixels of all pictures, uint8 | index, JSON | length and CRC-32 of the index, mark

The end is written last and the file gets its name after that, so what has an end is whole.
"""

from __future__ import annotations

import json
import math
import os
import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errors import UserError
from storage.atomic import write_whole

from ...transforms import FILTERS, Filter
from ..teacher.maps import FileState

SUFFIX = ".shard"
REMEDY = "delete this file and start again, which makes its pictures anew"
RGB = "rgb"
_END = struct.Struct("<QI8s")
_MARK = b"pictures"


def image_kind(filter: Filter) -> str:
    """`Content.kind` of images; without a word the filter is bilinear."""
    return RGB if filter == "bilinear" else f"{RGB} {filter}"


FILTER_OF: dict[str, Filter] = {image_kind(filter): filter for filter in FILTERS}
"""Filter of images by `Content.kind`."""


@dataclass(frozen=True)
class Content:
    """What the pictures of a shard are.

    kind: as from `image_kind`, or for training ids the mode of their label files
    height, width: pixels
    """

    kind: str
    height: int
    width: int

    @property
    def filter(self) -> Filter | None:
        """What images are resampled with; None for training ids."""
        return FILTER_OF.get(self.kind)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a picture: (3, H, W) or (H, W)."""
        size = (self.height, self.width)
        return (3, *size) if self.filter else size

    @property
    def bytes(self) -> int:
        """Length of a picture."""
        return math.prod(self.shape)


class Place(NamedTuple):
    """Where a picture is: name of the shard, number in it; CRC-32 of its pixels."""

    shard: str
    number: int
    crc: int


class Entry(NamedTuple):
    """One line of an index: the picture of a file as that was, under its name within the cache; and where that lay."""

    key: str
    path: str
    source: FileState
    place: Place


class Made(NamedTuple):
    """A picture to be kept."""

    key: str
    path: str
    source: FileState
    pixels: np.ndarray


def write_shard(folder: Path, content: Content, pictures: Sequence[Made], known: Sequence[Entry] = ()) -> list[Entry]:
    """Keeps pictures in a new file.

    Args:
        folder: the cache.
        content: what they are.
        pictures: all of the shape `Content.shape`.
        known: entries for pictures of other shards, whose files have another time now.

    Returns:
        Entries of all of them.

    Raises:
        OSError: when the file cannot be written; nothing is left behind.
    """
    name = f"{uuid.uuid4().hex}{SUFFIX}"
    entries = [
        Entry(picture.key, picture.path, picture.source, Place(name, number, zlib.crc32(picture.pixels)))
        for number, picture in enumerate(pictures)
    ] + list(known)
    rows = [(entry.key, entry.path, *asdict(entry.source).values(), *entry.place) for entry in entries]
    index = json.dumps({**asdict(content), "pictures": len(pictures), "entries": rows}).encode()
    end = _END.pack(len(index), zlib.crc32(index), _MARK)
    write_whole(folder / name, b"".join([*(picture.pixels.data for picture in pictures), index, end]))
    return entries


def read_index(path: Path) -> tuple[Content, list[Entry]]:
    """What a shard holds.

    Raises:
        UserError: when its end is damaged or missing.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(-_END.size, os.SEEK_END)
            length, crc, mark = _END.unpack(file.read(_END.size))
            if mark != _MARK or length > end:
                raise ValueError("its end is missing")
            file.seek(end - length)
            index = file.read(length)
        if zlib.crc32(index) != crc:
            raise ValueError("wrong checksum of its index")
        said = json.loads(index)
        content = Content(said["kind"], said["height"], said["width"])
        if not (isinstance(content.kind, str) and isinstance(content.height, int) and isinstance(content.width, int)):
            raise ValueError(f"pictures of {content}")
        if said["pictures"] * content.bytes != end - length:
            raise ValueError("bytes are missing or too many")
        return content, [_entry(*row) for row in said["entries"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise UserError(f"{path}: damaged ({fault}); {REMEDY}") from fault


def _entry(key: str, path: str, size: int, mtime: int, crc: int, shard: str, number: int, checksum: int) -> Entry:
    """One line of an index; raises `ValueError` where it is malformed."""
    names, numbers = (key, path, shard), (size, mtime, crc, number, checksum)
    if not (all(isinstance(name, str) for name in names) and all(isinstance(each, int) for each in numbers)):
        raise ValueError("an entry of other values")
    if number < 0:
        raise ValueError(f"picture {number}")
    return Entry(key, path, FileState(size, mtime, crc), Place(shard, number, checksum))
