"""Errors of libraries and of the system that are no bugs of ours, in a sentence. Imports no torch."""

from __future__ import annotations

import errno
import os

from storage.descriptors import limit

NO_MEMORY = "the memory is exhausted; lower the batch sizes, the image sizes or --sys-num-workers"
_OF_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)  # come without a name
TOO_MANY = (errno.EMFILE, errno.ENFILE)


def sentence(error: BaseException) -> str:
    """What to tell the user of an error; "" where it may be a bug."""
    text = str(error)
    if getattr(error, "errno", None) in TOO_MANY or os.strerror(errno.EMFILE) in text:
        return (
            f"too many open files, of {limit()} that this shell allows; raise that with ulimit -n, or lower "
            "--sys-num-workers"
        )
    if isinstance(error, OSError):
        known = error.filename is not None or error.errno in _OF_OUTPUT
        return f"{error.filename or 'output'}: {error.strerror}" if known else ""
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return NO_MEMORY
    if type(error).__name__ == "OutOfMemoryError":
        return "the GPU is out of memory; lower the batch sizes or the network size, or pass --sys-cpu"
    if isinstance(error, RuntimeError) and "DataLoader worker" in text:
        return (
            "a loader process was killed or ended, perhaps for want of memory or of open files (ulimit -n says "
            f"{limit()}); lower --sys-num-workers"
        )
    return ""
