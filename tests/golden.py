"""Numbers that the published implementations computed, and the rule behind their inputs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import torch

FOLDER = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).parents[2] / "shared" / "golden")


RECORDINGS = Path(os.environ.get("REAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")
_allowed = False


def allow(marked: bool) -> None:
    """Say before each test whether it is marked as one that reads files from outside."""
    global _allowed
    _allowed = marked


def outside(path: Path) -> Path:
    """A file or folder outside the repository, for a test with the mark `golden` alone: --no-golden leaves it out."""
    assert _allowed, f"a test that reads {path} needs @pytest.mark.golden"
    return path


def read_by(function: Callable) -> bool:
    """Whether a function of the tests, or one that it calls, asks for `outside`."""
    found, left = set(), [getattr(function, "__wrapped__", function)]
    while left:
        function = left.pop()
        if function is outside:
            return True
        if not isinstance(function, FunctionType) or function in found or not function.__module__.startswith("tests."):
            continue
        found.add(function)
        names = _names(function.__code__)
        known = [function.__globals__[name] for name in names if name in function.__globals__]
        left += known
        for module in known:
            if isinstance(module, ModuleType) and module.__name__.startswith("tests."):
                left += [getattr(module, name, None) for name in names]
    return False


def _names(code: CodeType) -> set[str]:
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return {*code.co_names}.union(*map(_names, inner))


@cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rule() -> ModuleType:
    return _module(outside(FOLDER) / "fill.py")


def load(name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Description and arrays of one golden file."""
    rule = _rule()
    arrays: dict[str, np.ndarray] = {}
    if (FOLDER / f"{name}.npz").is_file():
        with np.load(FOLDER / f"{name}.npz") as stored:
            arrays = {key: stored[key] for key in stored.files}
    return rule.json.loads((FOLDER / f"{name}.json").read_text()), arrays


def uniform(seed: int, *shape: int) -> np.ndarray:
    """Float32 numbers in [0, 1) that depend on the seed alone."""
    return _rule().uniform(seed, *shape)


def fill(key: str, shape: Iterable[int]) -> np.ndarray:
    """Values of one state-dict entry, fixed by its key."""
    return _rule().fill(key, shape)


def state_dict(keys: Iterable, scale: dict[str, float] | None = None, dtype: torch.dtype | None = None) -> dict:
    """State dict for (key, shape) pairs, with the factors of `scale` where its regular expressions match."""
    import torch

    state, dtype = {}, dtype or torch.float32
    for key, shape in keys:
        values = torch.from_numpy(np.array(fill(key, shape)))
        factors = [factor for pattern, factor in (scale or {}).items() if re.search(pattern, key)]
        for factor in factors:
            values = values * factor
        state[key] = values.to(dtype) if values.is_floating_point() else values
    return state


@contextlib.contextmanager
def unfilled() -> Iterator[None]:
    """Networks made inside draw no first weights, which takes longer than most passes: a golden file fills them."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        for name in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_", "trunc_normal_"):
            patch.setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor.detach().fill_(float("nan")))
        yield


def assert_close_to_max(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Largest difference relative to the largest expected magnitude."""
    scale = max(float(np.abs(expected).max()), 1e-30)
    worst = float(np.abs(np.asarray(found, np.float64) - expected).max()) / scale
    assert worst <= tolerance, f"differs by {worst:.2e} of the maximum, allowed {tolerance:.0e}"
