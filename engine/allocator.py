"""Where memory for large tensors comes from in a training on a CPU."""

from __future__ import annotations

import ctypes
import os
import sys

# Numbers of malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER, _AHEAD = 2**31 - 1, 64 << 20


def keep_freed_memory() -> bool:
    """Let this process use memory of freed tensors again, whatever their size; whether that was possible.

    The allocator of glibc asks the kernel for every tensor above 32 MiB and gives it back at once, so that each step
    pays for pages full of zeros. A training needs as much in every step: what it has, it keeps. Elsewhere, and where
    variables of the environment (MALLOC_..., GLIBC_TUNABLES) already say how, all stays as it is.
    """
    told = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    if told or not sys.platform.startswith("linux"):
        return False
    try:
        change = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(change(which, value) for which, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _AHEAD)))
