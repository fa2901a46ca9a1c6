"""Small files written by the preparation commands."""

from __future__ import annotations

from pathlib import Path

from errors import UserError
from storage.atomic import write_whole


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UserError: the place cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror}); choose another folder or make room") from error
