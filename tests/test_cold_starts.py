"""Every command as a user starts it, in an interpreter of its own; other tests fork what has imported everything."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from arguments import COMMANDS
from tests.commands import error_of
from tests.conftest import tiny_options
from tests.reliability.test_names import STEMS, expected, pictures
from tests.warm import IMPORTED, cold

SCRIPTS = [(f"{command}.py",) for command in COMMANDS]
MODULES = [("-m", name) for name in ("dataloader.check", "dataloader.prepare", "benchmarks", "benchmarks.demo")]


@pytest.mark.parametrize("words", [*SCRIPTS, *MODULES], ids=lambda words: words[-1])
def test_help_is_printed_and_nothing_else(words):
    result = cold(*words, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")


@pytest.mark.parametrize("words", SCRIPTS, ids=lambda words: words[-1])
def test_a_mistake_is_one_sentence(words):
    assert "--no-such-option" in error_of(cold(*words, "--method", "sgdepth", "--no-such-option"))


AND_WHAT_IT_IMPORTED = """
import runpy, sys
import torch.utils.checkpoint  # which torchvision imports; of torch 2.6 it brings sympy
needed = {"sympy"} & {*sys.modules}
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
print("imported", *{"timm", "matplotlib", "tensorboard", "torch._dynamo", "sympy"} & {*sys.modules} - needed)
from models.without_dynamo import _asked_late
_asked_late("cpu")
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).sum().item())
"""
"""Runs a command without what others need, and then the compiler, which comes when it is asked for."""
NO_LETTERS = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale in which names of files have no letters but those of English."""


def test_training_and_what_follows_it(street, tmp_path):
    words = ["--train-num-epochs", 1, "--train-batches-per-epoch", 1, "--sys-num-workers", 1]
    trained = cold("train.py", *tiny_options(street, tmp_path), *words)
    assert (trained.returncode, trained.stderr) == (0, "")
    saved = next(tmp_path.glob("*/*/checkpoints/epoch_1"))
    size = ["--inference-resize-height", 64, "--inference-resize-width", 64]
    pictures(tmp_path / "ü", STEMS)
    (tmp_path / "größe").symlink_to(saved)
    inferred = cold(
        "-c",
        AND_WHAT_IT_IMPORTED,
        "inference.py",
        "--sys-cpu",
        "--model-path",
        tmp_path / "größe" / "model.pth",
        *size,
        "--image-path",
        tmp_path / "ü",
        "--output-path",
        tmp_path / "ö",
        "--save-arrays",
        env=NO_LETTERS,
    )
    assert inferred.returncode == 0, inferred.stderr
    assert inferred.stdout.splitlines()[-2:] == ["imported", "4.0"]
    assert {path.name for path in (tmp_path / "ö").iterdir()} == expected(STEMS)
    loaders = ["--depth-validation-loaders", "kitti_zhou_validation"]
    size = ["--depth-validation-resize-height", 64, "--depth-validation-resize-width", 64]
    judged = cold(
        "eval_depth.py",
        "--sys-cpu",
        "--dataset-dir",
        street,
        "--checkpoint-dir",
        tmp_path,
        *loaders,
        *size,
        "--model-load",
        saved,
    )
    assert judged.returncode == 0 and "abs_rel" in judged.stdout, judged.stderr


def test_what_forked_commands_have_imported_exists():
    assert all(find_spec(name) for name in IMPORTED)
