"""File descriptors of a process: its three streams, and enough others. Imports no torch."""

from __future__ import annotations

import os
import sys

ENOUGH = 1 << 16  # open files; loader processes pass on every tensor in one


def prepare() -> None:
    """Before anything else: let missing streams be the null device, and allow as many open files as may be."""
    _open_streams()
    _raise_limit()


def limit() -> int:
    """Files that may be open at once, 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _open_streams() -> None:
    """A file that is opened later would else take the number of a closed stream, and get what is meant for it.

    Children inherit the streams.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # makes it inheritable
            if null > 2:
                os.close(null)
            elif null == number:
                os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, mode, errors="backslashreplace", closefd=False)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def _raise_limit() -> None:
    """Raise the soft limit on open files as far as the hard one allows."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
