"""What video files say of themselves, compared with what is there: OpenCV takes the end of data for the end of a film.

Sources: RIFF and AVI 1.0 (idx1), EBML (RFC 8794), ISO/IEC 14496-12 boxes, ASF file properties object,
ISO/IEC 11172-1 and 13818-1 program streams.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
HEAD = 1 << 16  # bytes in which headers are looked for
INDEX = np.dtype([("id", "S4"), ("flags", "<u4"), ("place", "<u4"), ("size", "<u4")])
STREAMED = 0xFFFFFFFF  # a length that its writer could not know
PACK, START, END_OF_STREAM = b"\0\0\1\xba", b"\0\0\1", b"\0\0\1\xb9"
SEQUENCE = b"\0\0\1\xb3"  # of MPEG video without packets
STILLS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif")  # photos in the boxes of a video
ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")  # that old films of QuickTime begin with
END_OF_JPEG = b"\xff\xd9"


def is_film(path: Path) -> bool:
    """Whether a file begins as one of a known kind of video does, whatever its name is.

    FFmpeg goes by the content as well, and follows lists of other files and of addresses.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return head[8:12] not in STILLS
    riff = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return riff or head[4:8] in ATOMS or head.startswith((EBML, ASF[:12], PACK, SEQUENCE))


def is_cut(path: Path) -> bool:
    """Whether a file of a known kind is shorter than its headers say; False where they do not tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head[:4] == b"RIFF" and len(head) >= 12:
            length = struct.unpack_from("<I", head, 4)[0]
            return length != STREAMED and 8 + length > size
        if head.startswith(EBML):
            return _segment_end(head) > size
        if head.startswith(ASF):
            place = head.find(ASF_PROPERTIES)
            return 0 <= place <= len(head) - 48 and struct.unpack_from("<Q", head, place + 40)[0] > size
        if head[4:8] == b"ftyp":
            place = 0
            while place + 8 <= size:
                file.seek(place)
                length = _box_length(file.read(16))
                if not length:  # to the end of the file, or nonsense
                    return False
                place += length
            return place > size
    return False


def _box_length(head: bytes) -> int:
    length = struct.unpack_from(">I", head)[0]
    if length == 1 and len(head) == 16:
        length = struct.unpack_from(">Q", head, 8)[0]
    return length if length >= 8 else 0


def _segment_end(head: bytes) -> int:
    """Where the segment of a Matroska file ends; 0 where it does not say."""
    start = head.find(SEGMENT) + len(SEGMENT)
    if start < len(SEGMENT) or start >= len(head) or not head[start]:
        return 0
    count = 9 - head[start].bit_length()
    value = int.from_bytes(head[start : start + count], "big") & ((1 << 7 * count) - 1)
    return 0 if value == (1 << 7 * count) - 1 else start + count + value


def program_stream(path: Path) -> tuple[bool, bool] | None:
    """Whether packets of an MPEG program stream do not follow each other, and whether the last one breaks off.

    Returns: None for other files. A stream does not say how many packets it has.
    """
    if path.stat().st_size < 16:
        return None
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if data[:4] != PACK:
            return None
        place, size, hole = 0, len(data), False
        while place + 16 <= size:
            head = data[place : place + 16]
            if head[:4] == PACK:
                place += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
            elif head[:4] == END_OF_STREAM:
                place += 4
            elif head[:3] == START and head[3] > END_OF_STREAM[3]:
                place += 6 + struct.unpack_from(">H", head, 4)[0]
            else:
                found = data.find(PACK, place)
                following = found if found >= 0 else size
                hole |= any(data[place:following])  # zeros may fill up
                place = following
        return hole, place > size


def avi_packets(path: Path) -> tuple[list[int], set[int]] | None:
    """Frames of an AVI file, numbered from 0 as its index has them.

    Returns: those that are where the index says, which is what a decoder comes upon, and of these the ones that
    damage begins in; None for other files, and where there is no index.
    """
    if path.stat().st_size < 12:
        return None
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if data[:4] != b"RIFF" or data[8:12] != b"AVI ":
            return None
        chunks = dict(_chunks(data))
        if b"movi" not in chunks or b"idx1" not in chunks:
            return None
        start, length = chunks[b"idx1"]
        index = np.frombuffer(data[start : start + length // INDEX.itemsize * INDEX.itemsize], INDEX)
        frames = [entry for entry in index.tolist() if entry[0][2:] in (b"dc", b"db")]
        movi = chunks[b"movi"][0] - 4  # of the word itself, where places are counted from
        bases = [base for base in (movi, 0) if frames and _is_there(data, frames[0], base)]
        base = (bases or [movi])[0]
        there = [number for number, entry in enumerate(frames) if _is_there(data, entry, base)]
        lost = {*range(len(frames))} - {*there}
        begun = {number for number in there if number + 1 in lost and not _is_jpeg(data, frames[number], base)}
        return there, begun


def _chunks(data: mmap) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Name, and place and length of the content, of the parts of a RIFF file; lists by their own name."""
    place = 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        inner = 4 if name == b"LIST" else 0
        yield data[place + 8 : place + 12] if inner else name, (place + 8 + inner, length - inner)
        place += 8 + length + length % 2


def _is_there(data: mmap, entry: tuple[bytes, int, int, int], base: int) -> bool:
    name, _, place, size = entry
    return data[base + place : base + place + 8] == struct.pack("<4sI", name, size)


def _is_jpeg(data: mmap, entry: tuple[bytes, int, int, int], base: int) -> bool:
    """Whether the content is a JPEG to its end."""
    start = base + entry[2] + 8
    return data[start : start + 2] == b"\xff\xd8" and data[start : start + entry[3]].rstrip(b"\0").endswith(END_OF_JPEG)
