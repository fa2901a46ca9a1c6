"""Numbers that the published implementations computed, and the rule behind their inputs."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

FOLDER = Path(os.environ.get("GOLDEN_DIR") or Path(__file__).parents[2] / "shared" / "golden")


@cache
def _rule() -> ModuleType:
    path = FOLDER / "fill.py"
    if not path.is_file():
        pytest.skip(f"no golden files in {FOLDER}; set GOLDEN_DIR")
    spec = importlib.util.spec_from_file_location("golden_fill", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Description and arrays of one golden file; skips the test where the folder is absent."""
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


def state_dict(keys: Iterable, scale: dict[str, float] | None = None, dtype: torch.dtype = torch.float32) -> dict:
    """State dict for (key, shape) pairs, with the factors of `scale` where its regular expressions match."""
    state = {}
    for key, shape in keys:
        values = torch.from_numpy(np.array(fill(key, shape)))
        factors = [factor for pattern, factor in (scale or {}).items() if re.search(pattern, key)]
        for factor in factors:
            values = values * factor
        state[key] = values.to(dtype) if values.is_floating_point() else values
    return state


def assert_close_to_max(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Largest difference relative to the largest expected magnitude."""
    scale = max(float(np.abs(expected).max()), 1e-30)
    worst = float(np.abs(np.asarray(found, np.float64) - expected).max()) / scale
    assert worst <= tolerance, f"differs by {worst:.2e} of the maximum, allowed {tolerance:.0e}"
