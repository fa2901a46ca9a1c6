"""The command that fills a teacher cache, with a stand-in for the teacher."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import arguments
import methods
import models
from dataloader.batch import to_device
from dataloader.cache.teacher import CachedImage, TeacherCache, open_guides, read_recipe
from dataloader.files import read_image
from dataloader.prepare import teacher_answers
from dataloader.prepare.__main__ import main
from errors import UserError
from losses.patches.refine import CachedMaps
from losses.patches.selection import select
from storage.notes import METADATA, as_text
from tests.commands import assert_told
from tests.conftest import ROOT
from tests.dataloader import tiny
from tests.dataloader.cache.test_teacher import DISTIL, GRID, LAYOUTS, SIZE
from tests.dataloader.tiny import build_training
from tests.warm import Command

pytestmark = pytest.mark.usefixtures("thin")

IMAGES = 8


class StandIn(nn.Module):
    """Says the same of mirrored images, and what it says of a place depends on that place alone."""

    identity = {"name": "mine.pt", "sha256": "12" * 32}
    asked = 0
    broken_after = pause = 0
    scale = 1.0

    def forward(self, rgb: Tensor) -> Tensor:
        type(self).asked += len(rgb)
        time.sleep(self.pause)
        if self.broken_after and self.asked > self.broken_after:
            raise KeyboardInterrupt
        return self.scale * (40 * rgb[:, 0] + 9 * rgb[:, 1] ** 2 + rgb[:, 2])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny.kitti(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def teacher(monkeypatch):
    """A class whose attributes a test may change."""
    kind = type("StandIn", (StandIn,), {"asked": 0})
    monkeypatch.setattr(models, "build_teacher", lambda name, native, fetch: kind())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield kind
    for number, handler in handlers.items():
        signal.signal(number, handler)


def words(root: Path, out: Path, *more: object, loaders: tuple[str, ...] = ("kitti_zhou_train",)) -> list[str]:
    usual = (
        "--dataset-dir",
        root,
        "--out",
        out,
        "--teacher",
        "mine.pt",
        "--height",
        SIZE[0],
        "--width",
        SIZE[1],
        "--batch-size",
        3,
        "--sys-cpu",
    )
    return [str(word) for word in ("teacher-cache", *loaders, *usual, *more)]


def kept(out: Path) -> list[Path]:
    return sorted([*out.rglob("*.png.png"), *out.rglob("*.png.npz")])


def batches(root: Path, out: Path) -> list:
    options = DISTIL | {"patch_teacher_cache": str(out), "patch_teacher": "mine.pt", "depth_training_batch_size": 4}
    return [to_device(batch, "cpu") for (batch,) in build_training(tiny.options(root, **options)).epoch(1)]


def test_training_finds_what_the_teacher_says_of_whole_images(root, tmp_path, capsys):
    assert main(words(root, tmp_path / "cache")) == 0
    out = capsys.readouterr().out
    assert "0 of 8 maps are there, 8 to make: about 0.0 GB" in out and "cache: complete" in out
    assert len(kept(tmp_path / "cache")) == IMAGES
    for batch in batches(root, tmp_path / "cache"):
        assert batch.teacher.shape == (4, 1, *SIZE)
    cache = TeacherCache(tmp_path / "cache", read_recipe(tmp_path / "cache"))
    path = root / f"kitti/{tiny.DRIVE}/image_03/data/0000000002.png"
    rgb = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None] / 255
    direct = interpolate(StandIn()(rgb)[:, None], SIZE, mode="bilinear", antialias=True, align_corners=False)
    (map_path,) = [each for each in kept(tmp_path / "cache") if "image_03/data/0000000002" in str(each)]
    assert map_path == tmp_path / f"cache/kitti/{tiny.DRIVE}/image_03/data/0000000002.png.png"
    found = cache.read(CachedImage(f"kitti/{tiny.DRIVE}/image_03/data/0000000002.png", str(path)))
    np.testing.assert_allclose(found, direct[0].numpy(), atol=50 / 65000)


def test_training_finds_what_the_teacher_says_of_mirrored_images(root, tmp_path, teacher, capsys):
    """The stand-in says the same of them, so both maps are one but for their last level."""
    assert main(words(root, tmp_path, "--mirrored")) == 0
    assert teacher.asked == 2 * IMAGES and read_recipe(tmp_path).shape == (2, *SIZE)
    options = {"teacher_loss_weight": 1.0, "teacher_cache": str(tmp_path), "depth_training_batch_size": 4}
    options |= {"teacher": "mine.pt", "teacher_loss": "ssi", "teacher_from_epoch": 0, "teacher_until_epoch": 0}
    options |= {"train_num_epochs": 2, "segmentation_training_loaders": ()}
    options |= {"depth_resize_height": SIZE[0], "depth_resize_width": SIZE[1]}
    for gate, number in (("uncertainty", 2), ("none", 1)):
        args = tiny.options(root, **options, teacher_gate=gate)
        for (raw,) in build_training(args).epoch(1):
            batch = to_device(raw, "cpu")
            assert batch.guide.shape == (4, number, *SIZE) and batch.teacher is None and batch.draws is None
            torch.testing.assert_close(batch.guide[:, 0], batch.guide[:, -1], atol=50 / 65000, rtol=0)
            images = torch.where(batch.flip.view(-1, 1, 1, 1), batch.images[0].flip(-1), batch.images[0])
            answers = torch.where(batch.flip.view(-1, 1, 1), batch.guide[:, 0].flip(-1), batch.guide[:, 0])
            assert (answers - StandIn()(images)).abs().mean() < 2  # asked before the image was resized
    for batch in batches(root, tmp_path):  # patches are cut from the first of both
        assert batch.teacher.shape == (4, 1, *SIZE) and batch.guide is None
    assert main(words(root, tmp_path)) == 2
    assert "holds maps made with mirrored True, not False" in capsys.readouterr().err


def test_a_cache_that_does_not_serve_whole_images_is_refused_in_a_sentence(root, tmp_path):
    assert main(words(root, tmp_path / "image")) == 0 and main(words(root, tmp_path / "grid", "--layout", "grid")) == 0
    for folder, teacher, mirrored, sentence in (
        ("image", "mine.pt", True, "holds no answers to mirrored images, which --teacher-gate uncertainty compares"),
        ("grid", "mine.pt", False, "holds answers to patches .--layout grid., whole images are taught"),
        ("image", "other.pt", False, "made by mine.pt .SHA-256 12121212.*, --teacher is other.pt"),
        ("image", "none", False, "contradicts --teacher none"),
    ):
        with pytest.raises(UserError, match=f"--teacher-cache .*{folder}: {sentence}"):
            open_guides(tmp_path / folder, size=SIZE, teacher=teacher, mirrored=mirrored)
    with pytest.raises(UserError, match="made for .* images, training has 64 x 64"):
        open_guides(tmp_path / "image", size=(64, 64), teacher="", mirrored=False)
    assert open_guides(tmp_path / "image", size=SIZE, teacher="", mirrored=False).recipe.teacher == "mine.pt"


def test_a_checkpoint_of_ours_fills_a_cache_and_is_known_by_its_weights(root, tmp_path, monkeypatch, capsys):
    network = methods.building("monodepth2").network(arguments.parse("train", ["--method", "monodepth2"]))
    folder = tmp_path / "runs/street/teacher/checkpoints/epoch_1"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "model.pth")
    size = dict(zip(("depth_resize_height", "depth_resize_width"), SIZE, strict=True))
    notes = {"method": "monodepth2", "options": {"method": "monodepth2", **size}, "files": {}}
    (folder / METADATA).write_text(as_text(notes))
    cache, name = tmp_path / "cache", "street/teacher/checkpoints/epoch_1"
    monkeypatch.setattr("methods.stored.verify", lambda *_, **__: None)
    assert main(words(root, cache, "--teacher", name, "--checkpoint-dir", tmp_path / "runs")) == 0
    recipe = read_recipe(cache)
    assert (recipe.teacher, len(recipe.sha256)) == ("teacher/checkpoints/epoch_1", 64)
    known = {"size": SIZE, "mirrored": False}
    for teacher, runs in ((name, str(tmp_path / "runs")), (str(folder), ""), (str(folder / "model.pth"), "")):
        assert open_guides(cache, teacher=teacher, runs=runs, **known)
    assert open_guides(cache, teacher="/elsewhere/teacher/checkpoints/epoch_1", **known)  # not at hand: by name
    torch.save({**network.state_dict(), "more": torch.zeros(1)}, folder / "model.pth")
    with pytest.raises(UserError, match="made by teacher/checkpoints/epoch_1"):
        open_guides(cache, teacher=name, runs=str(tmp_path / "runs"), **known)
    capsys.readouterr()
    assert main(words(root, tmp_path / "no", "--teacher", "street/nobody/checkpoints/epoch_1")) == 2
    assert "street/nobody/checkpoints/epoch_1: not there, nor below" in capsys.readouterr().err
    assert main(words(root, tmp_path / "no", "--mirrored", "--layout", "grid")) == 2
    assert "--mirrored: patches are not compared with mirrored ones" in capsys.readouterr().err


def test_training_finds_what_the_teacher_says_of_patches(root, tmp_path):
    assert main(words(root, tmp_path, "--layout", "grid")) == 0
    for batch in batches(root, tmp_path):
        assert batch.teacher.shape == (4, len(GRID), GRID.size, GRID.size)
        (patches,) = select(batch.images[0], mirrored=batch.flip)
        direct = StandIn()(patches.cut(batch.images[0]))
        torch.testing.assert_close(CachedMaps(batch.teacher, *SIZE)(patches), direct, atol=0.02, rtol=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_run_keeps_what_is_finished_and_goes_on(root, tmp_path, teacher, layout, capsys):
    each = len(GRID) if layout == "grid" else 1
    teacher.broken_after = 6 * each
    assert main(words(root, tmp_path, "--layout", layout)) == 130
    assert "stopped" in capsys.readouterr().err
    assert len(kept(tmp_path)) == 6
    times = {path: path.stat().st_mtime_ns for path in kept(tmp_path)}
    teacher.broken_after = teacher.asked = 0
    assert main(words(root, tmp_path, "--layout", layout)) == 0
    assert teacher.asked == 2 * each and len(kept(tmp_path)) == IMAGES
    assert all(path.stat().st_mtime_ns == changed for path, changed in times.items())
    assert main(words(root, tmp_path, "--layout", layout)) == 0 and teacher.asked == 2 * each
    assert not [path for path in tmp_path.rglob("*.tmp")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_maps_that_are_damaged_or_out_of_date_are_made_again(root, tmp_path, teacher, layout):
    shutil.copytree(root, tmp_path / "data")
    out = tmp_path / "cache"
    assert main(words(tmp_path / "data", out, "--layout", layout)) == 0
    maps, before = kept(out), teacher.asked
    maps[0].write_bytes(maps[0].read_bytes()[:-9])
    maps[1].unlink()
    image = tmp_path / f"data/kitti/{tiny.DRIVE}/image_03/data/0000000002.png"
    tiny.save(image, tiny.picture(999))
    assert main(words(tmp_path / "data", out, "--layout", layout)) == 0
    assert teacher.asked - before == 3 * (len(GRID) if layout == "grid" else 1)
    assert kept(out) == maps and len(batches(tmp_path / "data", out)) == 5


def test_shares_are_disjoint_and_make_the_whole(root, tmp_path, teacher, capsys):
    assert main(words(root, tmp_path, "--share", "2/3")) == 0
    assert len(kept(tmp_path)) == teacher.asked == 3
    assert "share 2/3 is done, 5 of 8 maps are missing until the other shares are" in capsys.readouterr().out
    assert main(words(root, tmp_path, "--share", "1/3")) == 0
    assert main(words(root, tmp_path, "--share", "3/3")) == 0
    assert len(kept(tmp_path)) == teacher.asked == IMAGES
    assert capsys.readouterr().out.endswith(": complete\n")


def ask_the_stand_in(pause: float = 0.0) -> None:
    """Before a command: its teacher is the stand-in, which takes its time."""
    StandIn.pause = pause
    models.build_teacher = lambda *_, **__: StandIn()


def test_two_processes_fill_one_folder_and_a_signal_ends_one_that_can_be_repeated(root, tmp_path, warm):
    def start(pause: float, *more: object) -> Command:
        command = ("-m", "dataloader.prepare", *words(root, tmp_path, *more))
        return warm(*command, before=partial(ask_the_stand_in, pause))

    # The images of a share are those of every other number, here with both cameras.
    first = start(0, "--share", "1/2")
    second = start(0.4, "--share", "2/2", "--batch-size", 1)
    deadline = time.monotonic() + 60
    while not [path for path in kept(tmp_path) if "image_03" in str(path)] and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(second.pid, signal.SIGINT)
    assert second.wait(30) == 130 and second.stderr.endswith("stopped\n") and "Traceback" not in second.stderr
    assert first.wait(60) == 0
    assert IMAGES // 2 < len(kept(tmp_path)) < IMAGES
    assert main(words(root, tmp_path, "--share", "2/2")) == 0
    assert len(kept(tmp_path)) == IMAGES and len(batches(root, tmp_path)) == 5


def test_images_of_many_sizes_and_of_own_data(root, tmp_path, teacher):
    for sequence in range(7):
        for index in range(3):
            size = (40 + sequence, 50)
            tiny.save(tmp_path / f"own/part {sequence}/{index}.png", tiny.picture(index, size))
    arguments = words(
        root,
        tmp_path / "cache",
        "--data-folder",
        tmp_path / "own",
        "--data-intrinsics",
        "40,40,20,20",
        "--batch-size",
        1,
        loaders=("kitti_zhou_train,folder_train", "folder_train"),
    )
    assert main(arguments) == 0
    assert len(kept(tmp_path / "cache/folder")) == teacher.asked - IMAGES == 7


def test_batches_are_of_one_size_and_few_images_wait_for_theirs():
    drawn, done = [], []

    def pictures():
        for number in range(60):
            drawn.append(number)
            yield CachedImage(str(number), ""), torch.zeros(3, 4, 4 + number % (3 if number < 30 else 25))

    for batch in teacher_answers._of_one_size(pictures(), 2):
        assert len(batch) <= 2 and len({pixels.shape for _, pixels in batch}) == 1
        done += [int(image.key) for image, _ in batch]
        assert len(drawn) - len(done) <= 2 * teacher_answers.HELD
    assert sorted(done) == drawn == list(range(60))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("kitti_zhou_trian", r"kitti_zhou_trian: no such loader \(closest: kitti_zhou_train"),
        ("cityscapes_test", "cityscapes_test: not a depth training loader; choose from kitti_zhou_train"),
        (("--height", 100), "--height 100: give what training has, at least 64 and a multiple of 32"),
        (("--share", "3/2"), "--share 3/2: give K/N with K from 1 to N"),
        (("--share", "half"), "--share half: give K/N"),
        (("--patch-size", 64), "--patch-size 64: maps of whole images fit any patch; leave it out"),
        (("--layout", "grid", "--patch-size", 100), "--patch-size 100: give 0 or a multiple of 64"),
        (("--layout", "grid", "--patch-size", 128), "--height 96 --width 128: too small for patches of 128 pixels"),
        (("--batch-size", 0), "--batch-size 0: give a positive number"),
        (("--workers", -1), "--workers -1: give 0"),
        (("--dataset-dir", "/nowhere/at/all"), "--dataset-dir /nowhere/at/all: no such folder"),
        (("--dataset-dir", ""), "--dataset-dir: not given"),
        ("folder_train", "folder_train: reads own data; pass --data-folder"),
    ],
)
def test_mistakes_are_told_in_one_sentence(root, tmp_path, capsys, more, sentence):
    named = {"loaders": (more,)} if isinstance(more, str) else {}
    code = main(words(root, tmp_path / "cache", *(() if named else more), **named))
    assert_told(code, capsys.readouterr().err, sentence)
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_another_recipe_and_data_in_the_way_are_told(root, tmp_path, capsys, monkeypatch, teacher):
    assert main(words(root, tmp_path / "cache")) == 0
    for more, fault in (
        (("--layout", "grid"), "made with layout 'image', not 'grid'"),
        (("--width", 160), "made with width 128, not 160"),
        (("--out", root / "kitti"), "no teacher cache; choose an empty or a new folder"),
    ):
        assert main(words(root, tmp_path / "cache", *more)) == 2
        assert fault in capsys.readouterr().err
    full = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    before = teacher.asked
    assert main(words(root, tmp_path / "new", "--layout", "grid")) == 2
    assert "8 maps need about 0.0 GB, 0.0 GB are free; make room" in capsys.readouterr().err
    assert main(words(root, tmp_path / "cache")) == 0 and teacher.asked == before


def test_a_damaged_image_and_an_answer_without_finite_values_are_told(root, tmp_path, capsys, teacher):
    shutil.copytree(root, tmp_path / "data")
    path = tmp_path / f"data/kitti/{tiny.DRIVE}/image_02/data/0000000003.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(words(tmp_path / "data", tmp_path / "cache", "--batch-size", 1)) == 2
    assert f"error: {path}: cannot decode" in capsys.readouterr().err
    assert kept(tmp_path / "cache")
    teacher.scale = float("nan")
    assert main(words(root, tmp_path / "nan")) == 2
    assert "the teacher's answer has values that are not finite" in capsys.readouterr().err
    path.unlink()
    teacher.scale = 1.0
    assert main(words(tmp_path / "data", tmp_path / "cache", "--data-on-missing", "drop")) == 0
    assert "1 missing file" not in capsys.readouterr().err


def test_a_file_that_only_looks_published_is_noted_by_its_own_name(root, tmp_path, teacher):
    teacher.identity = {"name": "dpt-hybrid", "sha256": "12" * 32}
    assert main(words(root, tmp_path / "other", "--teacher", "/weights/dpt_hybrid-mine.pt")) == 0
    assert read_recipe(tmp_path / "other").teacher == "dpt_hybrid-mine.pt"
    teacher.identity = {"name": "dpt-hybrid", "sha256": "501f0c75" + 56 * "0"}
    assert main(words(root, tmp_path / "real")) == 0
    assert read_recipe(tmp_path / "real").teacher == "dpt-hybrid"


def test_help_answers_without_torch():
    code = (
        "import sys\nfrom dataloader.prepare.__main__ import main\n"
        "try: main(['teacher-cache', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--share" in result.stdout, result.stderr
