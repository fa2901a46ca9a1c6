"""What is noted beside a checkpoint: method, options and versions it was made with, its files. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import safe

METADATA = "meta.json"  # beside model.pth
_NO_DIGEST = "0" * 64


class Damaged(ValueError):
    """Notes that are not as they were written."""


def as_text(notes: Mapping[str, Any]) -> str:
    """Notes as JSON with a digest of the text itself."""
    text = json.dumps({**notes, "digest": _NO_DIGEST}, indent=2)
    return text.replace(_NO_DIGEST, _digest(text))


def notes_of(path: Path) -> Path | None:
    """Where a checkpoint folder or a weight file has its notes: a file beside it, or the file itself; None without."""
    if path.is_dir() and (path / safe.FILE).is_file() and not (path / "model.pth").is_file():
        path = path / safe.FILE
    if not path.is_dir() and safe.is_one(path):
        try:
            return path if safe.notes_in(path) else None
        except (safe.Broken, OSError):
            return path
    beside = (path if path.is_dir() else path.parent) / METADATA
    return beside if beside.is_file() else None


def read(path: Path) -> dict[str, Any]:
    """Notes that `as_text` made, or those in a file of safetensors.

    Returns: at least `options`, a value by name, and `files`, sizes and hashes by plain file name.

    Raises:
        Damaged: when the file cannot be read or one bit of it has changed.
    """
    try:
        if path.name != METADATA and safe.is_one(path):
            return {"files": {}, **safe.notes_in(path)}
        text = path.read_bytes().decode()
        notes = json.loads(text)
        if notes["digest"] != _digest(text.replace(notes["digest"], _NO_DIGEST)):
            raise Damaged("its digest is not that of its content")
        if not (isinstance(notes["options"], dict) and isinstance(notes["files"], dict)):
            raise Damaged("options and files are no tables")
        if any(Path(name).name != name for name in notes["files"]):
            raise Damaged("it names files elsewhere")
    except OSError as error:
        raise Damaged(error.strerror) from None
    except KeyError as error:
        raise Damaged(f"no {error} in it") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(str(error)) from None
    return notes


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
