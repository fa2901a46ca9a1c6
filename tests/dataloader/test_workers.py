"""Processes that read files: what memory they hold."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from storage.allocator import LARGE, give_back_large_blocks

COUNT = 10


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def held() -> int:
    """Bytes that a process holds after it has read some large maps, with small things between them."""
    give_back_large_blocks()
    np.ones(4 * LARGE, np.uint8)  # from here on glibc would keep blocks of this size
    before = resident()
    maps, kept = [], []
    for _ in range(COUNT):
        maps.append(np.ones(4 * LARGE, np.uint8))
        kept.append(bytearray(100_000))
    del maps
    return resident() - before - sum(map(len, kept))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_of_evaluation_keep_no_memory_of_the_maps_they_have_passed_on():
    reader, writer = os.pipe()
    child = os.fork()
    if not child:  # the setting is one of the process
        os.write(writer, str(held()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 100)) < 4 * LARGE
    os.close(reader), os.close(writer)
