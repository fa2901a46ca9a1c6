"""Without a network all works that needs none; the rest says which file it wants, where from and where to put it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.commands import write_checkpoint
from tests.conftest import tiny_options
from tests.warm import Command

pytestmark = pytest.mark.usefixtures("thin")

RUN = "sgdepth_eccv_test/sgdepth_base"
Start = Callable[..., tuple[Command, Path]]


def cut_off() -> None:
    """Let every way out of this machine fail, and note that it was tried."""

    def fail(*_: object, **__: object) -> NoReturn:
        Path(os.environ["TRIED"]).touch()
        raise OSError(101, "Network is unreachable")

    socket.socket.connect = socket.create_connection = socket.getaddrinfo = fail
    time.sleep = lambda _: None  # between attempts


@pytest.fixture
def start(tmp_path, warm) -> Start:
    """Start a command without a network; the file that comes with it is there once it tried to reach something."""

    def begin(*words: object) -> tuple[Command, Path]:
        tried = tmp_path / f"tried{len(list(warm.folder.iterdir()))}"
        env = {"TRIED": str(tried), "TORCH_HOME": str(tmp_path)}
        return warm(*words, env=env, before=cut_off), tried

    return begin


def judging(street: Path, size: int = 64) -> tuple:
    return (
        "eval_depth.py",
        "--sys-cpu",
        "--sys-num-workers",
        0,
        "--dataset-dir",
        street,
        "--depth-validation-loaders",
        "kitti_kitti_validation",
        "--depth-validation-resize-height",
        size,
        "--depth-validation-resize-width",
        size,
    )


def test_training_from_scratch_evaluation_and_inference_reach_for_nothing(street, tmp_path, start):
    training, tried = start(
        "train.py", *tiny_options(street, tmp_path), "--train-num-epochs", 1, "--train-batches-per-epoch", 1
    )
    assert training.wait() == 0, training.stderr
    network = tmp_path / RUN / "checkpoints/epoch_1"
    image = next(street.rglob("image_02/data/*.*"))
    others = [
        start(*judging(street), "--checkpoint-dir", tmp_path, "--model-load", network),
        start(
            "inference.py",
            "--sys-cpu",
            "--model-path",
            network / "model.pth",
            "--image-path",
            image,
            "--output-path",
            tmp_path / "out",
        ),
    ]
    assert [command.wait() for command, _ in others] == [0, 0]
    assert not any(path.exists() for path in (tried, *(path for _, path in others)))


def test_what_is_missing_is_named_with_its_address_and_its_place(street, tmp_path, start):
    image = next(street.rglob("image_02/data/*.*"))
    training = ("train.py", *tiny_options(street, tmp_path))
    write_checkpoint(tmp_path / "any")
    refining = ("--patch-refine", "--patch-teacher", "dpt-hybrid", "--method", "sgdepth")
    loaded = ("--model-load", "any", "--checkpoint-dir", tmp_path)
    hybrid = "dpt_hybrid-midas-501f0c75.pt"
    asked = [
        (True, "resnet18-f37072fd.pth", (*training, "--train-weights-init", "pretrained")),
        (
            True,
            hybrid,
            (
                *training,
                "--model-name",
                "b",
                "--method",
                "sgdem",
                "--model-num-layers",
                18,
                "--no-masking-enable",
                "--patch-distill",
                "--patch-from-epoch",
                0,
                "--depth-resize-height",
                96,
                "--depth-resize-width",
                96,
                "--segmentation-crop-height",
                96,
                "--segmentation-crop-width",
                96,
                "--segmentation-resize-height",
                160,
            ),
        ),
        (
            False,
            "dpt_large-midas-2f21e586.pt",
            (*judging(street), "--method", "dpt", "--model-load", "dpt-large", "--checkpoint-dir", tmp_path),
        ),
        (False, hybrid, (*judging(street, 192), *refining, *loaded)),
        (
            False,
            hybrid,
            (
                "inference.py",
                "--sys-cpu",
                "--model-path",
                tmp_path / "any",
                "--image-path",
                image,
                "--output-path",
                tmp_path / "out",
                *refining,
            ),
        ),
    ]
    started = [start(*words) for _, _, words in asked]
    for (reaching, file, _), (command, tried) in zip(asked, started, strict=True):
        assert command.wait() == 2
        (line,) = (line for line in command.stderr.splitlines() if line.startswith("error: "))
        assert file in line and "https://" in line and str(tmp_path / "hub/checkpoints") in line
        assert tried.exists() == reaching, line
