"""What a file of ``torch.save`` declares, looked at before torch reads it.

``weights_only=True`` executes nothing, yet it unpacks what is compressed and calls what fills memory: some hundred
bytes became gigabytes (torch 2.15). So only what state dicts are made of may be called, and nothing may be larger in
memory than in its file.
"""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

_CALLED = {
    "collections OrderedDict",
    "collections Counter",  # milestones of a schedule
    "__builtin__ set",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {name}" for name, value in vars(torch).items() if isinstance(value, torch.dtype)),
}
_STORAGE = re.compile(r"torch(\.cuda)? \w+Storage")
_ZIP, _PICKLE, _PROTOCOL = b"PK\x03\x04", b"\x80\x02", b"\x80"
_TAIL = struct.Struct("<4s36xQQ4s4xQ4x4s8xLLH")  # record and locator of zip64, then the end record
_END = 22  # bytes of the end record
_LEGACY_PICKLES = 5  # of the older container: magic number, version, system, content, keys of the storages


class Refused(ValueError):
    """A file that is more than tensors and plain values."""


def scan(path: Path) -> None:
    """Look at either container of torch.

    Raises:
        Refused: when it is no weight file, asks for anything but tensors and plain values, unpacks to more than its
            size, or a bit has flipped where checksums tell.
        OSError: when it cannot be read.
        Exception: of `zipfile` and `pickletools`, when it is damaged.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == _ZIP:
            _scan_zip(file, path.stat().st_size)
        elif start.startswith(_PICKLE):
            for _ in range(_LEGACY_PICKLES):
                _scan_pickle(file)
        elif start.startswith(_PROTOCOL):
            raise Refused(f"written with protocol {start[1]} of pickle instead of 2")
        else:
            raise Refused("not written by torch.save")


def _scan_zip(file: BinaryIO, size: int) -> None:
    _require_one_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len({entry.filename.lower() for entry in entries}) < len(entries):  # torch does not tell them apart
            raise Refused("two of its parts have one name")
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > size:
            raise Refused("it unpacks to more than it holds")
        damaged = archive.testzip()  # torch reads on where a bit has flipped
        if damaged:
            raise Refused(f"{damaged} has another checksum")
        for entry in entries:
            if entry.filename.lower().endswith(".pkl"):
                _scan_pickle(BytesIO(archive.read(entry)))


def _require_one_directory(file: BinaryIO, size: int) -> None:
    """Check that the list of parts ends where the end of the file begins, as `torch.save` writes it.

    Otherwise Python and torch may find two different lists, of which only one is scanned.
    """
    file.seek(max(0, size - _TAIL.size))
    tail = file.read().rjust(_TAIL.size, b"\0")
    record, length64, place64, locator, record_place, end, length, place, comment = _TAIL.unpack(tail)
    behind = size - _END
    if locator == b"PK\x06\x07":
        length, place, behind = length64, place64, size - _TAIL.size
        if record != b"PK\x06\x06" or record_place != behind:
            raise Refused("its list of parts is not where it belongs")
    if end != b"PK\x05\x06" or comment or place + length != behind:
        raise Refused("its list of parts is not where it belongs")


def _scan_pickle(file: BinaryIO) -> None:
    for code, word, _ in pickletools.genops(file):
        harmless = code.name != "GLOBAL" or word in _CALLED or _STORAGE.fullmatch(word)
        if not harmless or code.name in ("STACK_GLOBAL", "INST"):
            raise Refused(f"it calls {str(word).replace(' ', '.')}, which is no part of a state dict")


def check_loaded(content: Any, size: int, repeated: bool) -> None:
    """Look at what torch made of a file, and take attributes from its dicts, which could hide their methods.

    size:     bytes of the file, which older versions of torch do not compare with what a tensor claims
    repeated: tensors may be larger than what is stored of them, as after `Tensor.expand`

    Raises:
        Refused: when a tensor is and may not, or claims more than the file holds.
    """
    seen, todo = set(), [content]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            getattr(value, "__dict__", {}).clear()
            todo += dict.values(value)
        elif isinstance(value, list | tuple | set):
            todo += value
        elif isinstance(value, Tensor) and value.untyped_storage().nbytes() > size:
            raise Refused(f"a tensor of shape {tuple(value.shape)} in a file of {size} bytes")
        elif isinstance(value, Tensor) and not repeated and value.nbytes > value.untyped_storage().nbytes():
            raise Refused(f"a tensor of shape {tuple(value.shape)} is not stored in full")
