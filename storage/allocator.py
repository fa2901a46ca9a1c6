"""What a process does with memory that it has freed, where its C library is glibc. Imports no torch.

Elsewhere all stays as it is.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Numbers of malloc.h, and its default of the last.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_USUAL_MMAP_MAX = 1 << 16
LARGE = 1 << 20  # bytes


def keep_freed_memory() -> bool:
    """Use memory of freed tensors again, whatever their size; whether that was possible.

    glibc asks the kernel for every tensor above 32 MiB and gives it back at once, so that each step pays for pages full
    of zeros. A training needs as much in every step: what it has, it keeps. Where variables of the environment
    (MALLOC_..., GLIBC_TUNABLES) already say how, all stays as it is.
    """
    told = "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    return not told and _tell({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20})


def give_back_large_blocks() -> bool:
    """From now on give large blocks back to the system when they are freed; whether that was possible.

    glibc keeps blocks for later ones as soon as some were freed that were as large, and maps of Cityscapes are larger
    than what else a loader process has: each of them would hold several. Holds in children of a process that keeps its
    memory, too.
    """
    return _tell({_MMAP_THRESHOLD: LARGE, _MMAP_MAX: _USUAL_MMAP_MAX})


def _tell(settings: dict[int, int]) -> bool:
    """Change settings of the allocator, all or those before the first that it refuses; whether all were changed."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        change = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all(change(which, value) for which, value in settings.items())
