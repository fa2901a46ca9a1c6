"""A folder in which one process at a time works."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
from datetime import datetime
from pathlib import Path
from typing import TextIO

from errors import UserError

log = logging.getLogger(__name__)


def opened(folder: Path) -> TextIO:
    """The lock file of a run folder.

    Raises:
        UserError: when it is a link, whose target would be emptied, or cannot be written.
    """
    return open(folder / ".lock", "a+", errors="replace", opener=_not_a_link)


def _not_a_link(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
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
        # Not flock: loader processes, which outlive a killed training by seconds, would hold it on.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise UserError(
            f"{folder}: process {file.read(200).strip() or '?'} trains in this run folder; wait for it, "
            "stop it, or choose another --model-name"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
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
