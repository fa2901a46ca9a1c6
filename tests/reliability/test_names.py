"""Names and surroundings that nobody planned for: folders, files and runs of any name, locale, time zone."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from errors import UserError
from tests import commands
from tests.conftest import ROOT, tiny_options
from tests.dataloader import tiny
from tests.warm import Command, Warm
from visual.video import FrameReader, VideoWriter, describe

pytestmark = pytest.mark.usefixtures("thin")

NAMES = ("two  words", "Straße ü中", "-dash", "new\nline", "x" * 200, "a%03d:b'c\"d$e[f]*g\\h", "--resume")
STEMS = tuple(name[:190] for name in NAMES)  # so that endings fit
FOREIGN = os.fsdecode(b"latin \xe4")  # from a disk of other times; no UTF-8
INFERENCE = ("--sys-cpu", "--method", "sgdepth", "--inference-resize-height", 64, "--inference-resize-width", 64)
LOADERS = "kitti_zhou_train,folder_train"


def named(turn: int, role: int, names: tuple[str, ...] = NAMES) -> str:
    """A name for one of the roles; after as many turns as there are names each role has had all of them."""
    return names[(turn + role) % len(names)]


def succeeded(command: Command) -> str:
    """What a command said that had nothing to complain of."""
    assert command.wait() == 0, command.stderr
    assert "Traceback" not in command.stderr and "error" not in command.stderr, command.stderr
    return command.stdout


def pictures(folder: Path, stems: Sequence[str]) -> None:
    for number, stem in enumerate(stems):
        tiny.save(folder / f"{stem}.png", tiny.picture(number))


def expected(stems: Sequence[str]) -> set[str]:
    return {f"{stem}{end}" for stem in stems for end in (".jpg", "_disp.npy", "_depth.npy", "_seg.npy")}


def test_everything_works_under_any_name(street, tmp_path, warm: Warm, rounds):
    for turn in range(rounds(1, len(NAMES))):
        place = tmp_path / str(turn)
        place.mkdir()
        everything_works(street, place, warm, turn)


def everything_works(street: Path, place: Path, warm: Warm, turn: int) -> None:
    """Train in one time zone, go on in another, evaluate, infer; every path has another name."""
    anything = (*NAMES, FOREIGN)
    data, cache, own, source, target = (place / str(role) / named(turn, role, anything) for role in range(3, 8))
    runs, kind, name = (named(turn, role) for role in range(3))
    runs = place / runs
    data.parent.mkdir()
    data.symlink_to(street)
    stems = [each[:190] for each in anything]
    pictures(source, stems)
    for stem in stems:
        pictures(own / stem, [f"{stem}{number}" for number in range(3)])
        (own / stem / "depth").mkdir()
        np.save(own / stem / "depth" / f"{stem}1.npy", np.full(tiny.SIZE, 9.0))
    run = [f"--experiment-class={kind}", f"--model-name={name}"]
    words = [
        *tiny_options(data, runs),
        *run,
        f"--data-cache={cache}",
        "--depth-training-loaders",
        LOADERS,
        "--segmentation-training-loaders",
        "",
        f"--data-folder={own}",
        "--data-intrinsics",
        "40,42,38,13",
        "--depth-training-batch-size",
        1,
        "--depth-validation-loaders",
        "kitti_zhou_validation",
    ]
    succeeded(
        warm.run("train.py", *words, "--train-num-epochs", 1, env={"TZ": "Pacific/Kiritimati"}, before=time.tzset)
    )
    said = succeeded(warm.run("train.py", *words, "--resume=auto", env={"TZ": "America/New_York"}, before=time.tzset))
    assert "pictures are there" in said and "to make" not in said  # times of files are the same everywhere
    saved = runs / kind / name / "checkpoints/epoch_2"
    judged = succeeded(
        warm.run(
            "eval_depth.py",
            "--sys-cpu",
            "--dataset-dir",
            data,
            "--checkpoint-dir",
            runs,
            *run,
            f"--data-folder={own}",
            "--data-intrinsics",
            "40,42,38,13",
            f"--model-load={saved.relative_to(runs)}",
            "--depth-validation-loaders",
            "kitti_zhou_validation,folder_test",
            "--depth-validation-resize-height",
            64,
            "--depth-validation-resize-width",
            64,
            "--sys-num-workers",
            0,
            "--eval-num-images",
            1,
        )
    )
    assert judged.count("abs_rel") == 3  # of each set, and in the table of both
    with (runs / kind / name / "metrics_folder_test_depth.csv").open(errors="surrogateescape", newline="") as file:
        assert {row[0] for row in csv.reader(file)} > {f"{stem}/{stem}1" for stem in stems}
    succeeded(
        warm.run(
            "inference.py",
            *INFERENCE,
            f"--model-path={saved / 'model.pth'}",
            f"--image-path={source}",
            f"--output-path={target}",
            "--save-arrays",
        )
    )
    assert {path.name for path in target.iterdir()} == expected(stems)


def test_a_time_zone_changes_no_number(street, tmp_path, warm, rounds):
    if not rounds(0, 1):
        pytest.skip("one of the long ones")
    found = []
    for zone in ("Pacific/Kiritimati", "America/New_York"):
        words = [*tiny_options(street, tmp_path), "--model-name", zone.replace("/", "_")]
        succeeded(warm.run("train.py", *words, env={"TZ": zone}, before=time.tzset))
        (saved,) = tmp_path.glob(f"*/{zone.replace('/', '_')}/checkpoints/epoch_2/model.pth")
        found.append(torch.load(saved, weights_only=True))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_word_with_a_dash_is_the_value_of_its_option(tmp_path, warm):
    done = warm.run(
        "inference.py", *INFERENCE, "--model-path", "-model.pth", "--image-path", "-none", "--output-path", tmp_path
    )
    assert done.wait() == 2 and done.stderr.startswith("error: --model-path -model.pth: no such file or folder")
    assert "--image-path -none: does not exist" in done.stderr


def test_videos_have_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, "concat:a", "http:"):
        path = Path(f"{name[:190]}.mp4")
        with VideoWriter(path, 5) as writer:
            for _ in range(3):
                writer.write(np.full((32, 32, 3), 128, np.uint8))
        assert path.is_file() and describe(path) == (5, 3) and len(list(FrameReader(path))) == 3
    assert len(list(tmp_path.iterdir())) == len(NAMES) + 2
    Path(f"{FOREIGN}.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="its name is no UTF-8; rename it"):
        describe(Path(f"{FOREIGN}.mp4"))


def test_a_run_folder_whose_name_is_no_utf8_is_refused(street, tmp_path, warm):
    done = warm.run("train.py", *tiny_options(street, tmp_path), f"--model-name={FOREIGN}")
    assert done.wait() == 2
    assert done.stderr.startswith("error: ") and "is no UTF-8" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("coerced", [True, False])
def test_letters_work_without_a_locale_that_has_them(tmp_path, coerced, rounds):
    if not rounds(0, 1):
        pytest.skip("one of the long ones; the inference of tests/test_cold_starts.py has no such locale either")
    pictures(tmp_path / "ü", STEMS)
    model = commands.write_checkpoint(tmp_path / "größe") / "model.pth"
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    strict = {} if coerced else {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [
        *INFERENCE,
        "--model-path",
        model,
        "--image-path",
        tmp_path / "ü",
        "--output-path",
        tmp_path / "ö",
        "--save-arrays",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.thinly", "inference.py", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
        env={**plain, "LC_ALL": "C", "OMP_NUM_THREADS": "1", **strict},
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert {path.name for path in (tmp_path / "ö").iterdir()} == expected(STEMS)
