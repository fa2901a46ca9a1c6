"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Literal

from errors import UserError

UNITS = {"GB": 1e9, "GiB": 2.0**30}


def write_whole(path: Path, content: bytes, durable: bool = True) -> None:
    """Writes `content` beside `path` and renames it there; makes the folder where it is missing.

    durable: survives a loss of power; waits for the disk

    Raises:
        OSError: naming the path, the bytes to write and those that are free; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        reason = f"cannot be written ({error.strerror}; {len(content)} bytes, {free_bytes(path)} are free)"
        raise OSError(error.errno, reason, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def free_bytes(path: Path) -> int:
    """Bytes free on the file system that has `path`, or would have it."""
    path = path.absolute()
    return shutil.disk_usage(next(folder for folder in (path, *path.parents) if folder.is_dir())).free


def require_room(folder: Path, needed: float, words: str, unit: Literal["GB", "GiB"] = "GB") -> str:
    """See that `needed` bytes fit on the disk of a folder, which may be missing yet.

    Args:
        folder: where they are to lie
        needed: bytes
        words: of the error, with the remedy; ``{needed}`` and ``{free}`` in them stand for the sizes
        unit: of the sizes

    Returns:
        In words, what is needed and what is free.

    Raises:
        UserError: when they do not fit.
    """
    free = free_bytes(folder)
    sizes = {name: f"{count / UNITS[unit]:.1f} {unit}" for name, count in (("needed", needed), ("free", free))}
    if needed > free:
        raise UserError(f"{folder}: {words.format(**sizes)}")
    return "about {needed}, {free} are free".format(**sizes)


def make_writable(folder: Path, remedy: str) -> None:
    """Make a folder where it is missing.

    Raises:
        UserError: with the remedy, when it cannot be made or no file can be added to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if is_writable(folder) else os.strerror(errno.EACCES)
    except OSError as error:
        reason = error.strerror
    if reason:
        raise UserError(f"{folder}: cannot be written ({reason}); {remedy}")


def is_writable(folder: Path) -> bool:
    """Whether files may be added; a folder without any write permission counts as read-only for root as well."""
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)
