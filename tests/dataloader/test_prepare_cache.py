"""The command that fills a data cache, and training that reads it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dataloader.cache.data import fill
from dataloader.prepare.__main__ import main
from tests.commands import assert_told, error_of
from tests.conftest import ROOT, tiny_options
from tests.dataloader import tiny
from tests.dataloader.cache.test_data import CITYSCAPES, KITTI, stored

pytestmark = pytest.mark.usefixtures("thin")

SIZES = ("--height", "64", "--width", "96", "--segmentation-resize-height", "96", "--segmentation-resize-width", "144")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny.cityscapes(tiny.kitti(tmp_path_factory.mktemp("data")))


@pytest.fixture(autouse=True)
def handlers():
    """The command sets handlers of signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def words(root: Path, out: Path, *more: object, loaders: tuple[str, ...] = ("kitti_zhou_train,cityscapes_train",)):
    return [str(word) for word in ("cache", *loaders, "--dataset-dir", root, "--out", out, *SIZES, *more)]


def test_the_command_fills_a_cache_that_training_finds_complete(street, tmp_path, run):
    sizes = ("--height", 64, "--width", 64, "--segmentation-resize-height", 96, "--segmentation-resize-width", 192)
    arguments = (
        "-m",
        "dataloader.prepare",
        "cache",
        "kitti_zhou_train",
        "cityscapes_train",
        "--dataset-dir",
        street,
        "--out",
        tmp_path / "cache",
        *sizes,
    )
    result = run(*arguments, "--workers", 2)
    assert result.returncode == 0, result.stderr
    told = re.match(
        rf"{tmp_path}/cache: 0 of (\d+) pictures are there, \1 to make: about 0\.0 GB, [\d.]+ GB are free\n"
        rf"{tmp_path}/cache: complete\n$",
        result.stdout,
    )
    assert told, result.stdout
    there = f"{tmp_path}/cache: all of {told[1]} pictures are there\n"
    assert run(*arguments).stdout == f"{there}{tmp_path}/cache: complete\n"

    losses = []
    for name, more in (("plain", ()), ("cached", ("--data-cache", tmp_path / "cache"))):
        result = run("train.py", *tiny_options(street, tmp_path / name), "--train-num-epochs", 1, *more)
        assert result.returncode == 0, result.stderr
        losses.append(re.findall(r"batch \d+/\d+ \| ([^|]+) \|", result.stdout))
    assert losses[0] == losses[1] and len(losses[0]) == 3
    assert there in result.stdout


def make_slowly() -> None:
    """Before a command: a picture takes its time, and is told of."""
    make = fill._make

    def slow(picture):
        time.sleep(0.3)
        print("makes", flush=True)
        return make(picture)

    fill._make = slow


def test_a_run_that_was_interrupted_goes_on(root, tmp_path, capsys, warm):
    process = warm("-m", "dataloader.prepare", *words(root, tmp_path, "--workers", 1), before=make_slowly)
    process.until("makes", count=4)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 130 and process.stderr.endswith("stopped\n") and "Traceback" not in process.stderr
    finished = stored(tmp_path)
    assert 2 <= finished < KITTI
    assert main(words(root, tmp_path)) == 0
    rest = KITTI + CITYSCAPES - finished
    assert f"{finished} of 20 pictures are there, {rest} to make" in capsys.readouterr().out
    assert stored(tmp_path) == KITTI + CITYSCAPES


def test_pictures_of_another_filter_lie_beside_the_others(root, tmp_path, capsys):
    for filter, count in (("lanczos", KITTI), ("bilinear", 2 * KITTI)):
        assert main(words(root, tmp_path, "--filter", filter)) == 0
        assert stored(tmp_path) == count + CITYSCAPES  # labelled images have no choice
    assert main(words(root, tmp_path, "--filter", "lanczos")) == 0
    assert "all of 20 pictures are there" in capsys.readouterr().out


def test_loaders_and_own_data_are_added_to_a_folder(root, tmp_path):
    assert main(words(root, tmp_path / "cache", loaders=("cityscapes_train",))) == 0
    assert stored(tmp_path / "cache") == CITYSCAPES
    for number in range(3):
        tiny.save(tmp_path / f"own/{number}.png", tiny.picture(number))
    assert (
        main(
            words(
                root,
                tmp_path / "cache",
                "--data-folder",
                tmp_path / "own",
                "--data-intrinsics",
                "40,40,20,20",
                loaders=("folder_train", "kitti_zhou_train"),
            )
        )
        == 0
    )
    assert stored(tmp_path / "cache") == CITYSCAPES + KITTI + 3


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("kitti_zhou_trian", r"kitti_zhou_trian: no such loader \(closest: kitti_zhou_train"),
        (
            "kitti_zhou_test",
            "kitti_zhou_test: not a depth or segmentation training loader; choose from kitti_zhou_train",
        ),
        (("--height", 100), "--height 100: give what training has, at least 64 and a multiple of 32"),
        (
            ("--segmentation-resize-width", 32),
            "--segmentation-resize-height/-width 96 x 32: give what training has, at",
        ),
        (("--workers", -1), "--workers -1: give 0"),
        (("--dataset-dir", "/nowhere/at/all"), "--dataset-dir /nowhere/at/all: no such folder"),
        ("folder_train", "folder_train: reads own data; pass --data-folder"),
    ],
)
def test_mistakes_are_told_in_one_sentence(root, tmp_path, capsys, more, sentence):
    named = {"loaders": (more,)} if isinstance(more, str) else {}
    code = main(words(root, tmp_path / "cache", *(() if named else more), **named))
    assert_told(code, capsys.readouterr().err, sentence)
    assert not (tmp_path / "cache").exists()


def test_training_refuses_what_is_no_cache(street, tmp_path, run):
    result = run("train.py", *tiny_options(street, tmp_path), "--data-cache", street / "kitti")
    assert "and is no data cache; choose an empty or a new folder" in error_of(result)


def test_samples_with_missing_files_are_left_out_on_demand(tmp_path, capsys):
    root = tiny.kitti(tmp_path / "data")
    (root / f"kitti/{tiny.DRIVE}/image_02/data/0000000001.png").unlink()
    arguments = words(root, tmp_path / "cache", loaders=("kitti_zhou_train",))
    assert main(arguments) == 2 and "or pass --data-on-missing drop" in capsys.readouterr().err
    assert main([*arguments, "--data-on-missing", "drop"]) == 0
    assert stored(tmp_path / "cache") == KITTI - 2  # its neighbour before has no other use


def test_help_answers_without_torch():
    code = (
        "import sys\nfrom dataloader.prepare.__main__ import main\n"
        "try: main(['cache', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--segmentation-resize-height" in result.stdout, result.stderr
