"""Things many tests share: a tiny street, and commands run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
Run = Callable[..., subprocess.CompletedProcess]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--full`` repeats the faults of tests/reliability/ as often as it is promised."""
    parser.addoption("--full", action="store_true", help="inject every fault as often as promised: takes much longer")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors gain nothing from threads, and results do not depend on their number."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data set folder with a small synthetic street, 64x128 frames; read only."""
    from street import write_dataset

    folder = tmp_path_factory.mktemp("street") / "data"
    write_dataset(folder, drives=2, frames=4, height=64, width=128, seed=3, workers=1)
    return folder


@pytest.fixture(scope="session")
def run() -> Run:
    """Run one of the commands; ``run("train.py", "--help", env={...})`` gives its outcome with text output."""

    def call(*words: object, timeout: float = 180, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("IFN_DIR")}
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**plain, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(env or {})},
        )

    return call


def tiny_options(data: Path | str, checkpoints: Path) -> list[str]:
    """Options with which training on the tiny street takes seconds: 64x64 networks, two epochs of three steps."""
    values = {
        "--dataset-dir": data,
        "--checkpoint-dir": checkpoints,
        "--sys-num-workers": 0,
        "--train-weights-init": "scratch",
        "--train-num-epochs": 2,
        "--train-batches-per-epoch": 3,
        "--train-print-frequency": 1,
        "--train-tb-frequency": 2,
        "--train-checkpoint-frequency": 1,
        "--model-depth-resolutions": 2,
        "--depth-training-loaders": "kitti_zhou_train",
        "--depth-training-batch-size": 2,
        "--depth-resize-height": 64,
        "--depth-resize-width": 64,
        "--segmentation-training-batch-size": 1,
        "--segmentation-resize-height": 96,
        "--segmentation-resize-width": 192,
        "--segmentation-crop-height": 64,
        "--segmentation-crop-width": 64,
        "--depth-validation-loaders": "",
        "--segmentation-validation-loaders": "",
        "--depth-validation-resize-height": 64,
        "--depth-validation-resize-width": 64,
        "--segmentation-validation-resize-height": 64,
        "--segmentation-validation-resize-width": 64,
    }
    return ["--method", "sgdepth", "--sys-cpu", *(str(word) for pair in values.items() for word in pair)]
