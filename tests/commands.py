"""What tests of commands share: an untrained network, and how a mistake is told."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from subprocess import CompletedProcess

import torch

import arguments
from models import build_model


def error_of(result: CompletedProcess) -> str:
    """The one sentence a command ended with on the user's mistake."""
    assert result.returncode == 2, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert "Traceback" not in result.stderr and lines[-1].startswith("error: "), result.stderr
    return lines[-1]


def write_checkpoint(folder: Path) -> Path:
    """An untrained network whose disparity varies over the image, as published files are: model.pth alone."""
    args: Namespace = arguments.parse("inference", ["--method", "sgdepth", "--model-disparity-bias", "0"])
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    torch.save(build_model(args).state_dict(), folder / "model.pth")
    return folder
