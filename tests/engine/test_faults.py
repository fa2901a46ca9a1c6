"""Which errors of libraries are no bugs, and what is said of them."""

from __future__ import annotations

import pytest
import torch

from engine import ranks
from engine.faults import sentence
from errors import UserError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(24, "Too many open files"), "too many open files, of .*; raise that with ulimit -n, or lower"),
        (OSError("Caught OSError: [Errno 24] Too many open files: 'a.png'"), "too many open files, of "),
        (RuntimeError("unable to open shared memory object </a>: Too many open files (24)"), "too many open files"),
        (RuntimeError("DataLoader worker (pid 1) is killed"), "a loader process was killed or ended.*ulimit -n"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "the memory is exha"),
        (MemoryError(), "the memory is exhausted"),
        (torch.OutOfMemoryError("CUDA"), "the GPU is out of memory"),
        (PermissionError(13, "Permission denied", "/a"), "^/a: Permission denied$"),
        (OSError(9, "Bad file descriptor"), "^output: Bad file descriptor$"),
        (RuntimeError("shape"), ""),
        (OSError("what"), ""),
        (ZeroDivisionError(), ""),
    ],
)
def test_known_errors_have_a_sentence_and_bugs_have_none(error, told):
    def failing():
        raise error
        yield

    if not told:
        assert sentence(error) == ""
        with pytest.raises(type(error)):
            next(ranks.in_lockstep(failing()))
        return
    with pytest.raises(UserError, match=told):
        next(ranks.in_lockstep(failing()))
