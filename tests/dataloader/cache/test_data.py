"""Data caches: the same items as without, made once, whatever happens to images, shards and writers."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dataloader import loaders
from dataloader.batch import Batch, to_device
from dataloader.cache.data import CachedPictures, fill, folder, pictures_of, provide, shards
from dataloader.catalog import find_loader
from dataloader.dataset import Key
from dataloader.items import labelled_items, video_items
from dataloader.pictures import DecodedPictures
from dataloader.splits import resolve
from errors import UserError
from tests import real_data
from tests.dataloader import tiny
from tests.dataloader.test_dataset import same
from tests.dataloader.tiny import build_training
from tests.warm import Command, Warm

pytestmark = pytest.mark.usefixtures("thin")

KITTI, CITYSCAPES = 12, 8
"""Files of the tiny data: six frames of two cameras; four images with labels."""
IMAGE = f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tiny.cityscapes(tiny.kitti(tmp_path_factory.mktemp("data")))


@pytest.fixture
def copy(root, tmp_path) -> Path:
    """Data that a test may change."""
    return Path(shutil.copytree(root, tmp_path / "data"))


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Paths of what is decoded, as it happens."""
    paths: list[str] = []
    for name in ("image", "labels"):
        make = getattr(DecodedPictures, name)
        monkeypatch.setattr(
            DecodedPictures, name, lambda self, path, *mode, make=make: (paths.append(path), make(self, path, *mode))[1]
        )
    return paths


def batches(root: Path, epoch: int = 0, **changes: object) -> Iterator[tuple]:
    data = build_training(tiny.options(root, **changes))
    yield from data.epoch(epoch)
    data.close()


def assert_same_items(root: Path, cache: Path, **changes: object) -> None:
    """Raw batches, and what becomes of them on the device, are equal to the bit with and without the cache."""
    for plain, cached in zip(
        batches(root, 1, **changes), batches(root, 1, data_cache=str(cache), **changes), strict=True
    ):
        for one, other in zip(plain, cached, strict=True):
            assert same(one, other)
            a, b = to_device(one, "cpu"), to_device(other, "cpu")
            assert all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def tensors(batch: Batch) -> list[torch.Tensor]:
    labels = [] if batch.labels is None else [batch.labels]
    return [*batch.images.values(), *batch.inputs.values(), batch.K, *labels]


def make(root: Path, cache: Path, **changes: object) -> None:
    build_training(tiny.options(root, data_cache=str(cache), **changes)).close()


def stored(cache: Path) -> int:
    """Pictures in the shards, and not just mentioned there."""
    return sum(entry.place.shard == path.name for path in cache.glob("*.shard") for entry in shards.read_index(path)[1])


@pytest.mark.parametrize("jitter", ["on", "off"])
@pytest.mark.parametrize("workers", [0, 2])
def test_items_are_the_same_with_and_without_a_cache(root, tmp_path, jitter, workers):
    assert_same_items(
        root, tmp_path / "cache", train_color_jitter=jitter, sys_num_workers=workers, train_batches_per_epoch=8
    )


def test_the_street_is_the_same_with_and_without_a_cache(street, tmp_path):
    sizes = {
        "depth_resize_height": 32,
        "depth_resize_width": 96,
        "segmentation_resize_height": 48,
        "segmentation_resize_width": 144,
        "segmentation_crop_height": 32,
        "segmentation_crop_width": 96,
    }
    assert_same_items(street, tmp_path, train_batches_per_epoch=4, **sizes)


def test_real_recordings_are_the_same_with_and_without_a_cache(tmp_path):
    root = real_data.dataset_folder(tmp_path / "data")
    sizes = {
        "depth_resize_height": 64,
        "depth_resize_width": 192,
        "segmentation_resize_height": 128,
        "segmentation_resize_width": 288,
        "segmentation_crop_height": 64,
        "segmentation_crop_width": 192,
    }
    changes = {"depth_training_batch_size": 4, "train_batches_per_epoch": 2, **sizes}
    assert_same_items(root, tmp_path / "cache", **changes)


def test_jpegs_and_own_data_are_the_same_with_and_without_a_cache(tmp_path):
    for sequence, kind in (("a walk", ".jpg"), ("ümläut", ".png")):
        for number in range(4):
            tiny.save(tmp_path / "own" / sequence / f"{number}{kind}", tiny.picture(number))
    changes = {
        "depth_training_loaders": ("folder_train",),
        "segmentation_training_loaders": (),
        "dataset_dir": "",
        "data_folder": str(tmp_path / "own"),
        "data_intrinsics": (40.0, 42.0, 38.0, 13.0),
    }
    assert_same_items(tmp_path, tmp_path / "cache", **changes)


@pytest.mark.parametrize("mode", ["fromid", "fromtrainid"])
def test_labels_of_every_mode_are_kept_for_themselves(copy, tmp_path, mode):
    make(copy, tmp_path / "cache")
    (copy / "cityscapes/parameters.json").write_text(json.dumps({"labels_mode": mode}))
    assert_same_items(copy, tmp_path / "cache")


def test_every_file_is_decoded_and_kept_once_however_many_samples_need_it(root, tmp_path, decoded):
    make(root, tmp_path)
    assert len(decoded) == len(set(decoded)) == KITTI + CITYSCAPES == stored(tmp_path)
    decoded.clear()
    assert len(list(batches(root, data_cache=str(tmp_path)))) == 5 and not decoded


def test_loaders_share_a_cache_and_files(copy, tmp_path, decoded):
    tiny.drive_list(copy, "odom09", "train_files.txt", range(1, 5))
    names = {"depth_training_loaders": ("kitti_zhou_train", "kitti_odom09_train"), "segmentation_training_loaders": ()}
    make(copy, tmp_path / "cache", **names)
    assert len(decoded) == KITTI
    make(copy, tmp_path / "cache")
    assert len(decoded) == KITTI + CITYSCAPES == stored(tmp_path / "cache")


def depth_batches(root: Path, filter: str, cache: str = "") -> list:
    args = tiny.options(root, data_cache=cache)
    data = loaders.build_training(args, {"depth": video_items(args, filter), "segmentation": labelled_items(args)})
    steps = list(data.epoch(0))
    data.close()
    return steps


def test_other_filters_have_pictures_of_their_own(root, tmp_path, decoded):
    make(root, tmp_path)
    decoded.clear()
    for filter in ("lanczos", "bilinear", "lanczos"):
        cached = depth_batches(root, filter, str(tmp_path))
        new = set(decoded)
        decoded.clear()
        plain = depth_batches(root, filter)
        decoded.clear()
        assert all(same(a, b) for step in zip(plain, cached, strict=True) for a, b in zip(*step, strict=True))
        assert stored(tmp_path) == 2 * KITTI + CITYSCAPES  # labelled images are the same ones
        assert len(new) in (0, KITTI)


def test_bilinear_pictures_are_written_down_as_before_there_were_filters():
    assert shards.image_kind("bilinear") == "rgb"
    assert shards.Content("rgb", 4, 6).filter == "bilinear"
    sharp = shards.Content(shards.image_kind("lanczos"), 4, 6)
    assert sharp.filter == "lanczos" and sharp.shape == (3, 4, 6)
    assert shards.Content("fromid", 4, 6).filter is None


def test_other_sizes_have_pictures_of_their_own(root, tmp_path, decoded):
    make(root, tmp_path)
    larger = {"depth_resize_width": 40, "segmentation_crop_width": 40, "segmentation_resize_width": 60}
    assert_same_items(root, tmp_path, **larger)
    assert stored(tmp_path) == 2 * (KITTI + CITYSCAPES)
    decoded.clear()
    make(root, tmp_path)
    make(root, tmp_path, **larger)
    assert not decoded


def test_a_changed_image_is_noticed_and_made_again(copy, tmp_path, decoded):
    make(copy, tmp_path / "cache")
    decoded.clear()
    tiny.save(copy / IMAGE, tiny.picture(999))
    make(copy, tmp_path / "cache")
    assert decoded == [str(copy / IMAGE)]
    assert_same_items(copy, tmp_path / "cache")


def test_an_image_that_changes_without_changing_its_length_is_noticed(copy, tmp_path, decoded):
    one, other = (tiny.save(copy / f"{name}.bmp", tiny.picture(seed)) for name, seed in (("a", 1), ("b", 2)))
    assert one.stat().st_size == other.stat().st_size
    shutil.copy(one, copy / IMAGE)
    make(copy, tmp_path / "cache")
    decoded.clear()
    shutil.copy(other, copy / IMAGE)
    make(copy, tmp_path / "cache")
    assert decoded == [str(copy / IMAGE)]


def test_a_new_time_alone_changes_nothing_and_is_compared_once(copy, tmp_path, decoded, monkeypatch):
    make(copy, tmp_path / "cache")
    decoded.clear()
    os.utime(copy / IMAGE, (1, 1))
    make(copy, tmp_path / "cache")
    monkeypatch.setattr(folder.FileState, "of", None)  # nobody reads the file again
    make(copy, tmp_path / "cache")
    assert not decoded and stored(tmp_path / "cache") == KITTI + CITYSCAPES


def test_data_and_cache_can_be_moved(copy, tmp_path, decoded):
    make(copy, tmp_path / "cache")
    decoded.clear()
    copy.rename(tmp_path / "moved data")
    (tmp_path / "cache").rename(tmp_path / "moved cache")
    make(tmp_path / "moved data", tmp_path / "moved cache")
    assert not decoded


def test_files_that_differ_in_nothing_but_content_and_folder_are_told_apart(copy, tmp_path):
    for seed in (1, 2):  # uncompressed, so that both are of one length
        place = shutil.copytree(copy, tmp_path / str(seed))
        tiny.save(place / "a.bmp", tiny.picture(seed)).rename(place / IMAGE)
        os.utime(place / IMAGE, (1, 1))
    for seed in (1, 2, 1):
        assert_same_items(tmp_path / str(seed), tmp_path / "cache")


def test_data_sets_with_files_of_the_same_names_share_a_folder(root, copy, tmp_path, decoded):
    for path in copy.rglob("image_0?/data/*.png"):
        tiny.save(path, 255 - tiny.picture(int(path.stem)))
    for place in (root, copy):
        assert_same_items(place, tmp_path / "cache")
    decoded.clear()
    for place in (root, copy, root):
        make(place, tmp_path / "cache")
    assert not decoded


def test_another_version_is_refused(root, tmp_path):
    make(root, tmp_path)
    recipe = json.loads((tmp_path / folder.META).read_text())
    for change in ({"format": 99}, {"images": "nearest"}):
        (tmp_path / folder.META).write_text(json.dumps(recipe | change))
        with pytest.raises(
            UserError,
            match=rf"data_cache\.json: made as \{{.*{list(change.values())[0]}.*; delete the "
            "folder or choose another$",
        ):
            make(root, tmp_path)
    (tmp_path / folder.META).write_text("{")
    with pytest.raises(UserError, match=r"data_cache\.json: damaged"):
        make(root, tmp_path)


def test_a_folder_with_other_things_is_refused(root):
    with pytest.raises(UserError, match="holds other things .* and is no data cache; choose an empty or a new folder"):
        make(root, root / "kitti")


@pytest.mark.parametrize("keep", [0, 5, 0.3, 0.9, -1])
def test_a_shard_that_was_cut_off_is_named(root, tmp_path, keep):
    make(root, tmp_path)
    shard = min(tmp_path.glob("*.shard"))
    content = shard.read_bytes()
    shard.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(UserError, match=f"^{shard}: damaged .*; delete this file and start again"):
        make(root, tmp_path)
    shard.unlink()
    assert_same_items(root, tmp_path)


def test_a_shard_that_lost_bytes_in_between_is_named(root, tmp_path):
    make(root, tmp_path)
    shard = min(tmp_path.glob("*.shard"))
    content = shard.read_bytes()
    shard.write_bytes(content[:100] + content[200:])
    with pytest.raises(UserError, match=f"^{shard}: damaged .bytes are missing or too many.; delete this file"):
        make(root, tmp_path)


def test_flipped_bits_are_noticed_wherever_they_are(root, tmp_path):
    make(root, tmp_path, segmentation_training_loaders=())
    (shard,) = tmp_path.glob("*.shard")
    sound = shard.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(sound), 40):
        content = bytearray(sound)
        content[place] ^= 1
        shard.write_bytes(content)
        with pytest.raises(UserError, match=f"^{shard}: damaged .*; delete this file and start again"):
            for _ in batches(root, data_cache=str(tmp_path), segmentation_training_loaders=()):
                pass


def test_a_shard_that_is_gone_is_made_again(root, tmp_path, decoded):
    make(root, tmp_path)
    data = build_training(tiny.options(root, data_cache=str(tmp_path)))
    for shard in tmp_path.glob("*.shard"):
        shard.unlink()
    with pytest.raises(UserError, match=r"\.shard: cannot be read .*; start again, which makes it anew"):
        list(data.epoch(0))
    decoded.clear()
    assert_same_items(root, tmp_path)
    assert stored(tmp_path) == KITTI + CITYSCAPES


def test_what_a_shard_says_of_another_one_ends_with_that(copy, tmp_path, decoded):
    make(copy, tmp_path / "cache")
    before = list((tmp_path / "cache").glob("*.shard"))
    os.utime(copy / IMAGE, (1, 1))
    make(copy, tmp_path / "cache")
    for shard in before:
        shard.unlink()
    decoded.clear()
    make(copy, tmp_path / "cache")
    assert len(decoded) == KITTI + CITYSCAPES


def test_a_damaged_image_is_named_and_what_is_finished_is_kept(copy, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    content = bytearray((copy / IMAGE).read_bytes())
    content[len(content) // 2] ^= 1
    sound = (copy / IMAGE).read_bytes()
    (copy / IMAGE).write_bytes(content)
    with pytest.raises(UserError, match=f"^{copy / IMAGE}: cannot decode"):
        make(copy, tmp_path / "cache")
    finished = stored(tmp_path / "cache")
    assert 0 < finished < KITTI
    (copy / IMAGE).write_bytes(sound)
    decoded.clear()
    make(copy, tmp_path / "cache")
    assert len(decoded) == KITTI + CITYSCAPES - finished


def test_an_interrupt_keeps_what_is_finished(root, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(fill, "SHARD_BYTES", 5000)  # three pictures of 1536 bytes
    update, seen = fill.Progress.update, []

    def interrupted(bar, count=1):
        seen.extend([bar] * (bar.title == "fill the data cache"))
        if len(seen) == 8:
            raise KeyboardInterrupt
        return update(bar, count)

    with monkeypatch.context() as patch:
        patch.setattr(fill.Progress, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(root, tmp_path)
    assert stored(tmp_path) == 8
    decoded.clear()
    assert_same_items(root, tmp_path)
    assert stored(tmp_path) == KITTI + CITYSCAPES
    assert max(path.stat().st_size for path in tmp_path.glob("*.shard")) < 10_000


def test_what_a_killed_writer_left_is_no_picture_and_is_swept_in_time(root, tmp_path, decoded):
    make(root, tmp_path)
    shard = min(tmp_path.glob("*.shard"))
    left = tmp_path / f".{shard.name}.4711.tmp"
    left.write_bytes(shard.read_bytes()[:100])
    shard.unlink()
    assert_same_items(root, tmp_path)
    assert left.exists()  # its writer might be alive
    long_ago = time.time() - 2 * fill.ABANDONED
    os.utime(left, (long_ago, long_ago))
    min(tmp_path.glob("*.shard")).unlink()
    make(root, tmp_path)
    assert not left.exists() and stored(tmp_path) == KITTI + CITYSCAPES


def start(warm: Warm, root: Path, cache: Path, pause: float, **changes: object) -> Command:
    """A process that fills a cache with shards of one picture, slowly."""
    code = (
        "import sys, time\nfrom storage import atomic\nfrom dataloader.cache.data import fill, shards\n"
        "from tests.dataloader.cache.test_data import Path, make\nfill.SHARD_BYTES, write = 1, atomic.write_whole\n"
        "def slow(path, content):\n"
        "    print('writes', flush=True)\n"
        f"    time.sleep({pause})\n"
        "    write(path, content)\n"
        f"shards.write_whole = slow\nmake(Path(sys.argv[1]), Path(sys.argv[2]), **{changes!r})\n"
    )
    return warm("-c", code, root, cache)


def test_a_writer_that_is_killed_leaves_only_whole_shards(root, tmp_path, warm):
    for writes in (1, 6):
        command = start(warm, root, tmp_path, 0.05)
        command.until("writes", count=writes)
        command.process.kill()
        command.wait()
    finished = stored(tmp_path)
    assert 0 < finished < KITTI + CITYSCAPES
    assert_same_items(root, tmp_path)
    assert stored(tmp_path) == KITTI + CITYSCAPES


def test_two_writers_at_once_make_every_picture_once(root, tmp_path, warm):
    both = [start(warm, root, tmp_path, 0.02, **changes) for changes in ({}, {"segmentation_training_loaders": ()})]
    assert [(command.wait(), command.stderr) for command in both] == [(0, "")] * 2
    assert stored(tmp_path) == KITTI + CITYSCAPES
    assert_same_items(root, tmp_path)


def test_size_and_room_are_told_before_it_starts(root, tmp_path, caplog, monkeypatch):
    with caplog.at_level("INFO"):
        make(root, tmp_path / "cache")
        assert f"{tmp_path / 'cache'}: 0 of 20 pictures are there, 20 to make: about 0.0 GB, " in caplog.text
        make(root, tmp_path / "cache")
    assert f"{tmp_path / 'cache'}: all of 20 pictures are there" in caplog.text
    needed = KITTI * 3 * 16 * 32 + 4 * 4 * 24 * 48
    for free in (needed, needed - 1):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(10**9, 10**9, free))
        if free < needed:
            with pytest.raises(UserError, match="20 pictures need about 0.0 GB, 0.0 GB are free; make room, choose"):
                make(root, tmp_path / str(free))
            assert not stored(tmp_path / str(free))
        else:
            make(root, tmp_path / str(free))
    make(root, tmp_path / "cache")  # nothing is missing there


def test_a_cache_is_filled_on_a_file_system_without_locks(root, tmp_path, monkeypatch, caplog):
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    spec = find_loader("depth", "kitti_zhou_train", training=True)
    wanted = pictures_of(spec, resolve(spec, root), root / "kitti", (16, 32))
    places = provide(tmp_path, wanted.values(), threads=1, tell=lambda text: None)
    assert places.keys() == {*wanted.values()}
    assert f"{tmp_path / '.lock'}: its file system has no locks" in caplog.text


def test_a_full_disk_and_a_folder_that_cannot_be_written_are_told(copy, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_whole", full)
        with pytest.raises(UserError, match=r"cannot write there \(No space left on device\); make room or choose"):
            make(copy, tmp_path / "cache")
        blocked = tmp_path / "file"
        blocked.write_text("")
        with pytest.raises(UserError, match="cannot write there"):
            make(copy, blocked)
    make(copy, tmp_path / "cache")
    os.utime(copy / IMAGE, (1, 1))
    monkeypatch.setattr(shards, "write_whole", full)
    make(copy, tmp_path / "cache")  # it is complete, and the new time need not be noted


def test_cached_pictures_travel_to_other_processes_without_their_maps(root, tmp_path):
    spec = find_loader("depth", "kitti_zhou_train", training=True)
    wanted = pictures_of(spec, resolve(spec, root), root / "kitti", (16, 32))
    places = provide(tmp_path, wanted.values(), threads=1, tell=lambda text: None)
    pictures = CachedPictures(
        tmp_path, (16, 32), "bilinear", {name: places[picture] for name, picture in wanted.items()}
    )
    image = pictures.image(str(root / IMAGE))
    assert (image.shape, image.dtype) == ((3, 16, 32), np.uint8) and not image.flags.writeable
    other = pickle.loads(pickle.dumps(pictures))
    assert not other._maps and np.array_equal(other.image(str(root / IMAGE)), image)


def test_pictures_are_mapped_where_open_files_have_no_names(root, tmp_path, monkeypatch):
    monkeypatch.setattr("dataloader.cache.data.pictures.DESCRIPTORS", str(tmp_path / "nowhere"))
    assert_same_items(root, tmp_path / "cache")


def test_no_file_stays_open(root, tmp_path, monkeypatch):
    monkeypatch.setattr(fill, "SHARD_BYTES", 1)
    data = build_training(tiny.options(root, data_cache=str(tmp_path))).datasets[0]
    before = len(os.listdir("/proc/self/fd"))
    data.__getitems__([Key(0, 0, index) for index in range(8)])
    assert len(os.listdir("/proc/self/fd")) == before
