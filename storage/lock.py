"""Files by which processes keep each other out; the system takes a lock back from a process that ends, however it does.

On Linux and Macs the locks are those of `fcntl`, on Windows those of `msvcrt`, of which each is imported where it is
used. Not `filelock`: its locks are of the kind that loader processes share with the training that started them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TextIO

from errors import UserError

log = logging.getLogger(__name__)
WINDOWS_BYTE = 1 << 30  # is locked, not the file: nobody could read who has locked it
RETRY = 0.1  # seconds
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def opened(folder: Path) -> TextIO:
    """The lock file of a run folder.

    Raises:
        UserError: when it is a link, whose target would be emptied, or cannot be written.
    """
    return open(folder / ".lock", "a+", errors="replace", opener=_not_a_link)


def _not_a_link(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path}: a link, which is never written through; remove it") from None
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another --checkpoint-dir") from None


def lock(file: TextIO, folder: Path) -> None:
    """Lock a run folder by its file until the process ends or closes it; says who does since when.

    Raises:
        UserError: naming the process that has locked it.
    """
    try:
        _take(file, per_process=True)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise UserError(
            f"{folder}: process {file.read(200).strip() or '?'} trains in this run folder; wait for it, "
            "stop it, or choose another --model-name"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning(
            "%s: its file system has no locks (%s); see that no other training works in this run folder",
            folder,
            error.strerror,
        )
    words = f"{os.getpid()} on {socket.gethostname()} since {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}\n"
    with contextlib.suppress(OSError):  # on a full disk it locks without words
        file.truncate(0)
        os.write(file.fileno(), words.encode())


def wait_for(file: TextIO, waiting: Callable[[], object] = lambda: None) -> None:
    """Lock a file until it is closed, against threads of this process, too.

    Where the file system has no locks, a warning says so, and nobody is kept out.

    Args:
        file: open for writing.
        waiting: called once where another has locked it.
    """
    told = False
    while True:
        try:
            _take(file, per_process=False)
            return
        except (BlockingIOError, PermissionError):
            pass
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            log.warning(
                "%s: its file system has no locks (%s); write in its folder with one process at a time",
                file.name,
                error.strerror,
            )
            return
        if not told:
            waiting()
            told = True
        time.sleep(RETRY)


@contextlib.contextmanager
def changing(path: Path) -> Iterator[bool]:
    """Inside, no other process or thread changes this file that does it inside, too: read it, then write it whole.

    Gives whether another one had it until now. The lock is a file beside it that is gone afterwards. Where the file
    system has no locks, a warning says so.

    Raises:
        OSError, UserError: when the folder cannot be written.
    """
    place = path.with_name(f".{path.name}.lock")
    waited: list[None] = []
    while True:
        with open(place, "a", opener=_not_a_link) as file:
            wait_for(file, lambda: waited.append(None))
            if is_at(file, place):
                try:
                    yield bool(waited)
                finally:
                    with contextlib.suppress(OSError):  # Windows removes no open file
                        place.unlink()
                return
        waited.append(None)


def is_at(file: IO[Any], place: Path) -> bool:
    """Whether an open file still has this name: who had it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False


def _take(file: TextIO, per_process: bool) -> None:
    """Lock an open file at once.

    per_process: a process forked from this one does not share the lock, a thread of this one does

    Raises:
        BlockingIOError, PermissionError: when another has locked it.
        OSError: when the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:
        import msvcrt

        os.lseek(file.fileno(), WINDOWS_BYTE, os.SEEK_SET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        return
    # With flock, loader processes, which outlive a killed training by seconds, would hold its run folder on.
    (fcntl.lockf if per_process else fcntl.flock)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
