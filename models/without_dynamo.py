"""Importing torchvision without the compiler of torch, which takes longer to import than all of torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

UTILS, QUESTION = "torch._dynamo.utils", "is_compile_supported"


class _StandIn(ModuleType):
    """Answers for `torch._dynamo.utils`: the one name that torchvision imports waits until it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == QUESTION:
            return _asked_late
        if sys.modules.get(UTILS) is self:  # somebody needs more than that
            del sys.modules[UTILS]
        return getattr(import_module(UTILS), name)


def _asked_late(device: str) -> bool:
    question: Callable[[str], bool] = getattr(import_module(UTILS), QUESTION)
    return question(device)


@contextmanager
def without_dynamo() -> Iterator[None]:
    """Inside, an import of torchvision leaves `torch._dynamo` alone unless it is there already.

    torchvision asks it whether a device can compile, and asks only where an operator of object detection runs.
    """
    if UTILS in sys.modules:
        yield
        return
    stand_in = sys.modules[UTILS] = _StandIn(UTILS)
    try:
        yield
    finally:
        if sys.modules.get(UTILS) is stand_in:
            del sys.modules[UTILS]
