"""Folders that hold files of one kind, which a description beside them tells."""

from __future__ import annotations

import os
from pathlib import Path

from errors import UserError
from storage.atomic import write_whole
from storage.lock import wait_for


def describe(folder: Path, name: str, content: bytes, kind: str) -> bool:
    """Makes a folder, where it is missing, and its description, where it has none.

    Args:
        folder: the folder.
        name: file name of the description.
        content: what it says if it is written now.
        kind: what the folder is, for the error.

    Returns:
        Whether there was a description already, which may say something else.

    Raises:
        UserError: when the folder holds other things and no description, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = os.listdir(folder)  # the description comes before anything else
        foreign = [other for other in names if not other.startswith(".")]
        if foreign and name not in names:
            raise UserError(
                f"{folder}: holds other things ({foreign[0]}) and is no {kind}; choose an empty or a new folder"
            )
        if name in names:
            return True
        with (folder / ".lock").open("a") as lock:  # of two processes that begin together, one describes
            wait_for(lock)
            if (folder / name).is_file():
                return True
            write_whole(folder / name, content)
            return False
    except OSError as fault:
        raise UserError(f"{folder}: cannot write there ({fault.strerror}); choose another folder") from fault
