"""Files of safetensors, known by their content: what they note of a network of ours. Imports no torch.

Layout: length of the header (8 bytes, little endian), header (JSON), tensors. Ours note in it method and options as
meta.json does, and the SHA-256 of the tensors, which the format has no checksum for.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FILE = "model.safetensors"
"""What it is called in a folder."""
NOTES, DIGEST = "sgdem", "sha256"
_LENGTH = struct.Struct("<Q")
_MOST = 100_000_000  # bytes of a header that the format allows


class Broken(ValueError):
    """A file of this kind that is not whole."""


def is_one(path: Path) -> bool:
    """Whether a file begins as those of safetensors do."""
    try:
        with path.open("rb") as file:
            start = file.read(_LENGTH.size + 1)
    except OSError:
        return False
    return len(start) > _LENGTH.size and start[-1:] == b"{" and _LENGTH.unpack(start[:-1])[0] <= _MOST


def metadata(path: Path) -> dict[str, str]:
    """Words in the header.

    Raises:
        Broken: when there is no whole header.
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        length = file.read(_LENGTH.size)
        size = _LENGTH.unpack(length)[0] if len(length) == _LENGTH.size else 0
        text = file.read(min(size, _MOST))
    try:
        header = json.loads(text)
        words = header.get("__metadata__", {})
    except (ValueError, RecursionError, AttributeError):
        raise Broken("its header is not whole") from None
    if len(text) != size or not isinstance(words, dict):
        raise Broken("its header is not whole")
    return words


def notes_in(path: Path) -> dict[str, Any]:
    """What a file notes of a network of ours: `method`, `options` and more; {} in files of others.

    Raises:
        Broken: when they are not as they were written.
        OSError: when it cannot be read.
    """
    text = metadata(path).get(NOTES, "{}")
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        notes = None
    if not isinstance(notes, dict) or (notes and not isinstance(notes.get("options"), dict)):
        raise Broken("what it notes of its network is not as it was written")
    return notes


def tensors_in(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU.

    Raises:
        Broken: when it is damaged.
        OSError: when it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    digest = metadata(path).get(DIGEST)
    content = path.read_bytes()
    if digest and digest != _digest(content):
        raise Broken("its tensors are not those that were written")
    try:
        return load(content)
    except (SafetensorError, KeyError) as error:  # a KeyError for types that torch does not have
        raise Broken(str(error)) from None


def content_of(state: Mapping[str, Tensor], notes: Mapping[str, Any], words: Mapping[str, str]) -> bytes:
    """A file of tensors with notes, and further words for people."""
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    plain = {"format": "pt", **words, NOTES: json.dumps(notes)}
    return save(tensors, plain | {DIGEST: _digest(save(tensors, plain))})


def _digest(content: bytes) -> str:
    """Of what follows the header, which does not depend on it."""
    start = _LENGTH.size + _LENGTH.unpack(content[: _LENGTH.size])[0]
    return hashlib.sha256(memoryview(content)[start:]).hexdigest()
