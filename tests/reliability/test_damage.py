"""Files that turn out damaged in training: it stops and says so, or goes on with other samples, always the same."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch

from dataloader import integrity
from dataloader.batch import RawBatch
from dataloader.lists import CAMERA_OF
from dataloader.loaders import TrainingData, build_evaluation
from errors import UserError
from storage.weights import load_file
from tests.conftest import tiny_options
from tests.dataloader import tiny
from tests.dataloader.test_dataset import same
from tests.dataloader.tiny import build_training

pytestmark = pytest.mark.usefixtures("thin")

EPOCH = 3
IMAGE = f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png"
LABELS = "cityscapes/gtFine/train/ahrendorf/ahrendorf_000001_000019_gtFine_labelIds.png"


def damage(path: Path) -> Path:
    """A bit flips where neither the head nor the tail of the file betrays it."""
    integrity._sound.discard(str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def empty(path: Path) -> Path:
    integrity._sound.discard(str(path))
    path.write_bytes(b"")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tiny.cityscapes(tiny.kitti(tmp_path / "data"))


def open_data(root: Path, place: tuple[int, int] = (0, 1), **changes: object) -> TrainingData:
    return build_training(tiny.options(root, **{"data_on_error": "skip", "data_max_errors": 9, **changes}), place)


def steps(root: Path, start: int = 0, epoch: int = EPOCH, **changes: object) -> list:
    data = open_data(root, **changes)
    try:
        return list(data.epoch(epoch, start))
    finally:
        data.close()


def alike(first: list, second: list) -> bool:
    pairs = [pair for one, other in zip(first, second, strict=True) for pair in zip(one, other, strict=True)]
    return all(same(*pair) for pair in pairs)


@pytest.mark.parametrize("injure", [damage, empty])
def test_other_samples_stand_in_the_same_ones_for_any_workers_start_and_cache(root, tmp_path, injure, caplog):
    sound = steps(root)
    bad = [injure(root / name) for name in (IMAGE, LABELS)]
    skipped = steps(root)
    assert not alike(skipped, sound)  # the damaged ones were asked for
    for other in ({"sys_num_workers": 2}, {"data_cache": str(tmp_path / "cache")}):
        assert alike(skipped, steps(root, **other))
        assert alike(skipped[2:], steps(root, 2, **other))
    caplog.clear()
    steps(root, train_batches_per_epoch=20)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2  # each file once, however many samples need it, however often
    assert all("other samples take the place" in line for line in said)
    assert {line.partition(": ")[0] for line in said} == {*map(str, bad)}


def test_a_batch_with_a_stand_in_can_be_kept_and_read_again(root, tmp_path):
    damage(root / IMAGE)
    batch = next(batch for step in steps(root, train_batches_per_epoch=20) for batch in step if batch.damaged)
    torch.save(batch.plain(), tmp_path / "batch.pt")
    found = RawBatch.of(load_file(tmp_path / "batch.pt"))
    assert torch.equal(found.images, batch.images) and found.names == batch.names and found.spec == batch.spec


def test_processes_that_train_together_see_what_one_would_see(root):
    for name in (IMAGE, LABELS):
        damage(root / name)
    alone = steps(root, segmentation_training_batch_size=2, train_batches_per_epoch=4)
    shares = []
    for rank in (0, 1):
        data = open_data(root, (rank, 2), depth_training_batch_size=1, train_batches_per_epoch=4)
        shares.append(list(data.epoch(EPOCH)))
    for whole, *parts in zip(alone, *shares, strict=True):
        for batch, *halves in zip(whole, *parts, strict=True):
            assert torch.equal(batch.images, torch.cat([half.images for half in halves]))
            assert torch.equal(batch.flip, torch.cat([half.flip for half in halves]))


def test_sound_samples_stay_as_they_were_and_the_damaged_one_is_never_seen(root):
    sound = steps(root, train_batches_per_epoch=20, depth_training_batch_size=1)
    bad = damage(root / IMAGE)
    found = steps(root, train_batches_per_epoch=20, depth_training_batch_size=1)
    changed = 0
    for (before, _), (after, _) in zip(sound, found, strict=True):
        if after.damaged:
            changed += 1
            assert all(str(bad) in each.sentence for each in after.damaged)
            assert torch.equal(before.flip, after.flip) and torch.equal(before.jitter, after.jitter)
        assert same(before, after) != bool(after.damaged)
    assert changed >= 6  # three of eight samples need the file


def test_too_many_damaged_samples_end_the_run(root):
    damage(root / IMAGE)  # three samples
    assert steps(root, data_max_errors=3, train_batches_per_epoch=20)
    with pytest.raises(UserError, match=r"^--data-max-errors 2: already 3 samples .* for .*02\.png: cannot decode"):
        steps(root, data_max_errors=2, train_batches_per_epoch=20)
    empty(root / IMAGE)
    with pytest.raises(UserError, match="--data-max-errors 2: already 3 samples"):
        open_data(root, data_max_errors=2)  # known at the start


@pytest.mark.parametrize("cached", [False, True])
def test_where_nothing_can_be_read_the_first_file_is_named(root, tmp_path, cached):
    for path in (root / "kitti" / tiny.DRIVE).rglob("*.png"):
        damage(path)
    with pytest.raises(UserError, match=r"\.png: cannot decode") as caught:
        steps(root, data_max_errors=100, data_cache=str(tmp_path / "cache") if cached else "")
    assert "\n" not in str(caught.value)


def test_own_data_keep_their_order_around_a_damaged_frame(tmp_path):
    for number in range(8):
        tiny.save(tmp_path / f"walk/{number}.png", tiny.picture(number))
    empty(tmp_path / "walk/3.png")
    own = {
        "depth_training_loaders": ("folder_train",),
        "segmentation_training_loaders": (),
        "dataset_dir": "",
        "data_folder": str(tmp_path),
        "data_intrinsics": (40.0, 42.0, 38.0, 13.0),
    }
    data = open_data(tmp_path, **own)
    assert data.lengths == (6,)
    replaced = {each.index for (batch,) in data.epoch(0) for each in batch.damaged}
    assert replaced == {1, 2, 3}  # of frames 1 to 6


def test_evaluation_always_stops(root):
    damage(root / "kitti" / tiny.DRIVE / "image_02/data/0000000002.png")
    (data,) = build_evaluation(tiny.options(root, data_on_error="skip", data_max_errors=9), "depth")
    with pytest.raises(UserError, match=r"0000000002\.png: cannot decode"):
        list(data)


def test_a_run_that_stopped_for_a_damaged_file_goes_on_without_it(street, tmp_path, warm):
    root = tmp_path / "data"
    shutil.copytree(street, root)
    listed = root / "kitti_zhou_split/train_files.txt"
    drive, frame, side = listed.read_text().splitlines()[1].split()
    bad = damage(root / f"kitti/{drive}/image_{CAMERA_OF[side]:02d}/data/{int(frame):010d}.png")
    words = [*tiny_options(root, tmp_path / "runs"), "--train-batches-per-epoch", 4, "--train-num-epochs", 1]
    stopped = warm.run("train.py", *words)
    assert stopped.wait() == 2
    (sentence,) = [line for line in stopped.stderr.splitlines() if line]
    assert sentence.startswith(f"error: {bad}: cannot decode") and sentence.endswith(
        "or pass --data-on-error skip to train on other samples instead"
    )
    gone_on = warm.run("train.py", *words, "--resume", "auto", "--data-on-error", "skip")
    assert gone_on.wait() == 0, gone_on.stderr
    assert gone_on.stderr.count(str(bad)) == 1 and "Traceback" not in gone_on.stderr
    fresh = warm.run("train.py", *words, "--model-name", "fresh", "--data-on-error", "skip")
    assert fresh.wait() == 0, fresh.stderr
    first, second = (
        torch.load(tmp_path / f"runs/sgdepth_eccv_test/{name}/checkpoints/epoch_1/model.pth", weights_only=True)
        for name in ("sgdepth_base", "fresh")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
