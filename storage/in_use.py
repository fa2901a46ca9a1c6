"""Files that a process works with, so that no other one removes them meanwhile.

The marks are shared locks of `fcntl`, which the system takes back from a process that ends. Where that module is
missing (Windows), an open file keeps its folder from being moved, which is how folders are removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .lock import is_at

_held: dict[Path, BinaryIO] = {}


def hold(path: Path) -> None:
    """Mark a file as one that this process uses, until it ends; without effect where there is none, or no locks."""
    with contextlib.suppress(OSError):
        path = path.resolve()
        before = _held.get(path)
        if before is not None and is_at(before, path):
            return
        file = path.open("rb")
        with contextlib.suppress(ImportError, OSError):  # a file system without locks
            import fcntl

            fcntl.flock(file, fcntl.LOCK_SH)  # waits for who removes it
        _held[path] = file


@contextlib.contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Gives whether no process holds a file; inside, none begins to."""
    with contextlib.ExitStack() as stack:
        free = True
        with contextlib.suppress(ImportError, FileNotFoundError):
            import fcntl

            file = stack.enter_context(path.open("rb"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = False
            except OSError:  # a file system without locks tells nothing
                pass
        yield free
