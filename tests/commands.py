"""What tests of commands share: an untrained network, how a mistake is told, and a training that is stopped."""

from __future__ import annotations

import os
import re
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen

import torch

import arguments
from models import build_model

ROOT = Path(__file__).parents[1]


def error_of(result: CompletedProcess) -> str:
    """The one sentence a command ended with on the user's mistake."""
    assert result.returncode == 2, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert "Traceback" not in result.stderr and lines[-1].startswith("error: "), result.stderr
    return lines[-1]


def assert_told(code: int, error: str, sentence: str) -> None:
    """A command run in this process said one sentence, which begins so (a pattern), and nothing else."""
    assert code == 2
    assert re.match(f"error: {sentence}", error) and error.count("\n") == 1


def write_checkpoint(folder: Path) -> Path:
    """An untrained network whose disparity varies over the image, as published files are: model.pth alone."""
    args: Namespace = arguments.parse("inference", ["--method", "sgdepth", "--model-disparity-bias", "0"])
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    torch.save(build_model(args).state_dict(), folder / "model.pth")
    return folder


def torchrun(*words: object) -> Popen:
    """Start a script in two processes."""
    return Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, words)],
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


def stopped_training(words: Sequence[str], run_folder: Path, line: str, number: int = signal.SIGTERM) -> Path:
    """Train until a line begins so, send the signal, and find the one checkpoint that this leaves."""
    process = Popen(
        [sys.executable, "train.py", *words],
        cwd=ROOT,
        stdout=PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )
    for said in process.stdout:
        if said.startswith(line):
            process.send_signal(number)
            break
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number, rest
    (saved,) = [path for path in (run_folder / "checkpoints").iterdir() if path.name.startswith("epoch_")]
    return saved
