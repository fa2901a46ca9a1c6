"""KITTI with annotated depth: lists, layouts of the archive, and what there is without a list."""

import logging
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
import torch

from dataloader import integrity
from dataloader.catalog import find_loader
from dataloader.check.__main__ import main as check
from dataloader.companions import companion, companion_path
from dataloader.dataset import EvaluationSet, Key, TrainingSet
from dataloader.files import read_depth
from dataloader.listing import Listing
from dataloader.loaders import build_evaluation, build_training
from dataloader.measured import Measured
from dataloader.prepare.__main__ import main as prepare
from dataloader.prepare.kitti import split_drives
from dataloader.samples import DepthSource
from dataloader.splits import resolve, truth_kind, with_truth
from errors import UserError
from tests.dataloader import tiny

TRAIN = find_loader("depth", "kitti_annotated_train", training=True)
TEST = find_loader("depth", "kitti_annotated_test")
SHORT = tiny.DRIVE.rpartition("/")[2]
TAIL = "proj_depth/groundtruth/image_02"
PLACES = {
    "archive": f"data_depth_annotated/{SHORT}",
    "parts": f"data_depth_annotated/val/{SHORT}",
    "raw drives": tiny.DRIVE,
}


def maps(root: Path, frames: range = range(4), place: str = "archive", size: tuple[int, int] = tiny.SIZE) -> None:
    """Depth maps of 5 + frame metres."""
    for frame in frames:
        path = root / "kitti" / PLACES[place] / TAIL / f"{frame:010d}.png"
        tiny.save(path, np.full(size, 256 * (5 + frame), np.uint16))


def pairs(frames: range, third: str = " 721.5377", slash: str = "", absent: int = -1) -> list[str]:
    return [
        f"{slash}{tiny.DRIVE}/image_02/data/{frame:010d}.png "
        f"{'None' if frame == absent else f'{slash}{SHORT}/{TAIL}/{frame:010d}.png'}{third.format(frame)}"
        for frame in frames
    ]


def listed(root: Path, lines: list[str], name: str = "train_files.txt") -> Path:
    return tiny.kitti_list(root / "kitti_annotated_split", name, lines)


@pytest.fixture
def root(tmp_path) -> Path:
    tiny.kitti_images(tmp_path / "kitti", frames=range(4), cameras=(2,))
    return tmp_path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("third", [" 721.5377", ""])
def test_lists_of_bts_find_their_maps_however_the_archive_was_unpacked(root, place, third):
    maps(root, place=place)
    listed(root, pairs(range(4), third))
    samples = resolve(TRAIN, root)
    assert [sample.name for sample in samples] == [f"{tiny.DRIVE}/image_02/{frame:010d}" for frame in range(4)]
    assert [read_depth(sample.depth)[0, 0] for sample in samples] == [5, 6, 7, 8]
    assert all(PLACES[place] in sample.depth.path and sample.dense is None for sample in samples)
    assert truth_kind(TRAIN, samples) == "improved"


@pytest.mark.parametrize("name", ["eigen_train_files_with_gt.txt", "eigen_train_files_with_gt_dense.txt"])
def test_lists_may_keep_their_published_names_and_begin_with_a_slash(root, name):
    maps(root)
    listed(root, pairs(range(2), slash="/"), name)
    assert len(resolve(TRAIN, root)) == 2


@pytest.mark.parametrize("place", PLACES)
def test_the_third_field_of_lapdepth_is_a_map_without_gaps(root, place):
    maps(root, place=place)
    dense = root / "kitti" / PLACES[place] / "dense_gt/image_02"
    tiny.save(dense / f"{0:010d}.png", np.full(tiny.SIZE, 256 * 9, np.uint16))
    listed(root, pairs(range(2), f" {SHORT}/dense_gt/image_02/{{:010d}}.png"))
    first, second = resolve(TRAIN, root)
    assert read_depth(first.dense)[0, 0] == 9 and second.dense is None


def test_filled_and_smooth_maps_are_found_beside_the_truth(root):
    maps(root)
    listed(root, pairs(range(2)))
    truth = resolve(TRAIN, root)[0].depth.path
    for kind, metres in (("dense", 11), ("base", 12)):
        tiny.save(Path(companion_path(truth, kind)), np.full(tiny.SIZE, 256 * metres, np.uint16))
    sample, other = resolve(TRAIN, root)
    assert (read_depth(sample.dense)[0, 0], read_depth(sample.base)[0, 0]) == (11, 12)
    assert other.dense is None and other.base is None


def test_maps_beside_the_truth_are_found_with_paths_of_windows(tmp_path, monkeypatch):
    for name in ("room/sync_depth_1.png", "room/dense/sync_depth_dense_1.png"):
        tiny.save(tmp_path / name, np.ones(tiny.SIZE, np.uint16))
    monkeypatch.setattr("dataloader.companions.PurePath", PureWindowsPath)
    listing, truth = Listing(tmp_path), DepthSource("map", f"{tmp_path}/room/sync_depth_1.png")
    assert companion(listing, truth, "dense").path == f"{tmp_path}/room/dense/sync_depth_dense_1.png"
    assert companion(listing, truth, "base") is None
    assert companion_path("C:\\sets\\room\\1.png", "base") == "C:/sets/room/base/1.png"


def test_frames_without_truth_are_skipped_and_counted(root):
    maps(root)
    listed(root, pairs(range(4), absent=2), "test_files.txt")
    samples = resolve(TEST, root)
    assert [sample.depth is None for sample in samples] == [False, False, True, False]
    assert len(with_truth(TEST, samples)) == 3
    (data,) = build_evaluation(tiny.options(root, depth_validation_loaders=("kitti_annotated_test",)), "depth")
    assert (len(data.samples), data.skipped, data.truth_kind) == (3, 1, "improved")


def test_a_listed_file_that_is_missing_is_named(root):
    maps(root, range(3))
    listed(root, [*pairs(range(4)), *pairs(range(9, 10))])
    with pytest.raises(UserError, match=rf"3 missing files: .*{SHORT}/{TAIL}/0000000003.png, .*0000000009.png"):
        resolve(TRAIN, root)
    assert len(resolve(TRAIN, root, drop=True)) == 3
    listed(root, ["a/b.png c.png"])
    with pytest.raises(UserError, match=r"train_files.txt: 'a/b.png' is no image of a KITTI drive"):
        resolve(TRAIN, root)


def test_there_is_no_right_camera(root):
    with pytest.raises(UserError, match="--depth-camera right: kitti_annotated_test has no truth of a right camera"):
        resolve(TEST, root, depth_camera="right")


def test_without_a_list_all_frames_with_a_map_are_there_but_those_of_test_drives(root, caplog):
    maps(root, range(1, 4))
    for held_out in ("2011_09_26/2011_09_26_drive_0002_sync", "2011_09_26/2011_09_26_drive_0002_extract"):
        tiny.kitti_images(root / "kitti", held_out, range(2), (2,))
        folder = root / "kitti/data_depth_annotated" / held_out.rpartition("/")[2] / TAIL
        tiny.save(folder / f"{0:010d}.png", np.full(tiny.SIZE, 256, np.uint16))
    with caplog.at_level(logging.INFO):
        samples = resolve(TRAIN, root)
    assert [sample.name[-1] for sample in samples] == ["1", "2", "3"]
    assert "no list in" in caplog.text and "all 3 left images with a depth map, of 1 drives" in caplog.text
    with pytest.raises(UserError, match="missing files"):
        resolve(TEST, root)  # its 697 frames are known


def test_the_list_of_what_is_on_disk_is_kept_by_a_command(root, capsys):
    maps(root, range(1, 4))
    words = ["lists", "kitti_annotated_train", "--dataset-dir", str(root)]
    assert prepare(words) == 0
    path = root / "kitti_annotated_split/train_files.txt"
    assert path.read_text().splitlines() == pairs(range(1, 4), "")
    maps(root, range(1))
    assert len(resolve(TRAIN, root)) == 3
    assert prepare(words) == 2 and "is there already; pass --overwrite" in capsys.readouterr().err
    assert prepare([*words, "--overwrite"]) == 0 and len(resolve(TRAIN, root)) == 4
    assert prepare(["lists", "kitti_zhou_train", "--dataset-dir", str(root)]) == 2


def test_its_lists_are_no_business_of_index_files(root):
    maps(root)
    for name in ("train_files.txt", "test_files.txt"):
        listed(root, pairs(range(4)), name)
        tiny.drive_list(root, "zhou", name, range(4))
    assert prepare(["index", "kitti", "--dataset-dir", str(root)]) == 0
    assert (root / "kitti_zhou_split/train.json").is_file() and len(resolve(TRAIN, root)) == 4
    assert {path.name for path in (root / "kitti_annotated_split").iterdir()} == {"train_files.txt", "test_files.txt"}


def test_the_drives_of_its_lists_are_fetched(root):
    listed(root, pairs(range(4)))
    assert [f"{drive.date}_{drive.number}" for drive in split_drives(root, ["annotated"])] == ["2011_09_26_0001"]


def test_nothing_to_train_with_is_said_with_what_to_unpack(root):
    with pytest.raises(UserError, match="no left image with an annotated depth map .* unpack data_depth_annotated"):
        resolve(TRAIN, root)
    assert prepare(["lists", "kitti_annotated_train", "--dataset-dir", str(root)]) == 2


@pytest.mark.parametrize("size", [(375, 1242), (370, 1226), (376, 1241)])
def test_training_and_evaluation_see_the_window_of_the_benchmark_in_images_of_every_size(tmp_path, size):
    tiny.kitti_images(tmp_path / "kitti", frames=range(1), cameras=(2,), size=size)
    maps(tmp_path, range(1), size=size)
    for name in ("train_files.txt", "test_files.txt"):
        listed(tmp_path, pairs(range(1)), name)
    top, left = size[0] - 352, (size[1] - 1216) // 2
    picture = tiny.picture(200, size)[top:, left : left + 1216]
    data = TrainingSet(TRAIN, resolve(TRAIN, tmp_path), Measured(), seed=1)
    raw = data.__getitems__([Key(0, 0, 0)])
    shown = raw.images[0, 0].permute(1, 2, 0)
    assert raw.depth.shape == (1, 1, 352, 1216) and np.array_equal(shown, picture)
    judged = EvaluationSet(TEST, resolve(TEST, tmp_path), size=(64, 96)).__getitems__([0])
    assert np.array_equal(judged.truth[0].image, picture) and judged.truth[0].depth.shape == (352, 1216)


def test_training_draws_batches_of_what_was_measured(root):
    maps(root)
    listed(root, pairs(range(4)))
    args = tiny.options(root, depth_training_loaders=("kitti_annotated_train",), segmentation_training_loaders=())
    data = build_training(args, {"depth": Measured(crop=(16, 32), dense=True)})
    try:
        for (batch,) in data.epoch(0):
            assert batch.images.shape == (2, 1, 3, 16, 32) and not batch.dense.any()
            metres = [5.0 + int(name[-1]) for name in batch.names]
            assert torch.equal(batch.depth, torch.tensor(metres).view(2, 1, 1, 1).expand(2, 1, 16, 32))
    finally:
        data.close()


def test_a_crop_without_room_is_told_before_training(root):
    maps(root)
    args = tiny.options(root, depth_training_loaders=("kitti_annotated_train",), segmentation_training_loaders=())
    with pytest.raises(
        UserError, match=r"--depth-crop-height/-width 352 x 704: larger than .* 24 x 80 .* for all of it$"
    ):
        build_training(args, {"depth": Measured(crop=(352, 704))})


def test_video_methods_say_that_these_are_single_images(root):
    maps(root)
    args = tiny.options(root, depth_training_loaders=("kitti_annotated_train",), segmentation_training_loaders=())
    with pytest.raises(UserError, match="kitti_annotated_train: it has single images with their measured depth, and t"):
        tiny.build_training(args)


def test_the_doctor_knows_the_list_and_the_further_maps(root, capsys):
    maps(root)
    words = ["kitti_annotated_train", "--dataset-dir", str(root)]
    assert check(words) == 0
    said = capsys.readouterr().out
    assert "none, all left images with a map" in said and "filled depth  0 of 4" in said and "right camera" not in said
    path = listed(root, pairs(range(4)))
    assert check(words) == 0 and str(path) in capsys.readouterr().out
    listed(root, pairs(range(5)))
    assert check(words) == 2 and "2 missing files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("cache", "images keep their size in training with measured depth, no cache holds them; leave it out"),
        ("teacher-cache", "it has measured depth, and no method asks a teacher about its images; leave it out"),
    ],
)
def test_what_training_would_not_use_is_not_kept(root, capsys, command, said):
    assert prepare([command, "kitti_annotated_train", "--out", str(root / "out"), "--dataset-dir", str(root)]) == 2
    assert f"kitti_annotated_train: {said}" in capsys.readouterr().err


def test_the_synthetic_street_is_one_of_these_sets(street):
    data = TrainingSet(TRAIN, resolve(TRAIN, street), Measured(crop=(64, 96)), seed=1)
    assert len(data) == 2 * 4
    raw = data.__getitems__([Key(0, 0, 0), Key(0, 0, 1)])
    assert raw.images.shape == (2, 1, 3, 64, 96) and 1 < raw.depth[raw.depth > 0].median() < 80
    assert (raw.depth > 0).float().mean() > 0.5
    assert len(with_truth(TEST, resolve(TEST, street))) == 2 * 4


def test_images_that_were_made_smaller_are_cut_like_their_truth(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", frames=range(1), cameras=(2,), size=(188, 621))
    maps(tmp_path, range(1), size=(376, 1242))
    for name in ("train_files.txt", "test_files.txt"):
        listed(tmp_path, pairs(range(1)), name)
    truth = EvaluationSet(TEST, resolve(TEST, tmp_path), size=(64, 96)).__getitems__([0]).truth[0]
    assert truth.depth.shape == (352, 1216) and truth.image.shape == (176, 609, 3)
    assert np.array_equal(truth.image, tiny.picture(200, (188, 621))[12:, 6:615])
    answer = TrainingSet(TRAIN, resolve(TRAIN, tmp_path), Measured(), seed=1).__getitems__([Key(0, 0, 0)])
    assert "376 x 1242 (height x width) does not fit the image" in answer.sentence


def test_a_damaged_map_that_is_looked_at_stops_training_only_where_it_may(root):
    maps(root)
    listed(root, pairs(range(4)))
    path = Path(resolve(TRAIN, root)[1].depth.path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # neither head nor tail betrays it
    path.write_bytes(content)
    args = tiny.options(root, depth_training_loaders=("kitti_annotated_train",), segmentation_training_loaders=())
    with pytest.raises(UserError, match=rf"{path.name}: cannot decode"):
        build_training(args, {"depth": Measured(crop=(16, 32))})
    args.data_on_error, args.data_max_errors = "skip", 1
    data = build_training(args, {"depth": Measured(crop=(16, 32))})
    assert data.lengths == (4,) and len(list(data.epoch(0))) == args.train_batches_per_epoch


def test_further_maps_are_looked_at_where_they_are_wanted(root):
    maps(root)
    listed(root, pairs(range(4)))
    filled = Path(companion_path(resolve(TRAIN, root)[1].depth.path, "dense"))
    tiny.save(filled, np.full(tiny.SIZE, 256, np.uint16))
    args = tiny.options(root, depth_training_loaders=("kitti_annotated_train",), segmentation_training_loaders=())
    data = build_training(args, {"depth": Measured(crop=(16, 32), dense=True)})
    assert [sample.dense is None for sample in data.datasets[0].samples] == [True, False, True, True]
    filled.write_bytes(filled.read_bytes()[:-20])
    integrity._sound.clear()
    with pytest.raises(UserError, match=rf"dense/{filled.name}: cannot decode"):
        build_training(args, {"depth": Measured(crop=(16, 32), dense=True)})
    data = build_training(args, {"depth": Measured(crop=(16, 32))})
    assert not any(sample.dense for sample in data.datasets[0].samples)
