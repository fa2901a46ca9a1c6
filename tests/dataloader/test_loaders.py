"""Loaders: order, workers, checks before training."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from dataloader import integrity
from dataloader.loaders import build_evaluation
from errors import UserError
from tests.dataloader import tiny
from tests.dataloader.test_dataset import same
from tests.dataloader.test_odometry import poses
from tests.dataloader.tiny import build_training

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tiny.cityscapes(tiny.kitti(tmp_path_factory.mktemp("data")))
    tiny.drive_list(root, "odom09", "test_files.txt", range(6))
    poses(root, 6)
    return root


def batches(root, epoch: int, start: int = 0, **changes: object) -> list:
    data = build_training(tiny.options(root, **changes))
    try:
        return list(data.epoch(epoch, start))
    finally:
        data.close()


def all_same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        same(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_a_step_draws_one_batch_of_every_loader_depth_first(root):
    steps = batches(root, 0)
    assert len(steps) == 5
    assert [[batch.spec.domain for batch in step] for step in steps] == [
        ["kitti_zhou_train_depth", "cityscapes_train_seg"]
    ] * 5
    assert [len(batch) for batch in steps[0]] == [2, 1]


def test_batches_are_the_same_for_any_number_of_workers(root):
    alone = batches(root, 1)
    assert all_same(alone, batches(root, 1, sys_num_workers=1))
    assert all_same(alone, batches(root, 1, sys_num_workers=2))


def test_an_epoch_continues_anywhere_with_the_same_batches(root):
    whole = batches(root, 2)
    for start in (1, 4, 5):
        assert all_same(whole[start:], batches(root, 2, start))
    assert all_same(whole[3:], batches(root, 2, 3, sys_num_workers=2))


def test_one_builder_serves_epochs_in_any_order_even_after_a_stop(root):
    data = build_training(tiny.options(root, sys_num_workers=2))
    first = next(iter(data.epoch(7)))  # abandoned after one step
    assert all_same([first], batches(root, 7)[:1])
    assert all_same(list(data.epoch(3)), batches(root, 3))
    assert all_same(list(data.epoch(1, 2)), batches(root, 1)[2:])
    data.close()


def test_epochs_seeds_and_passes_differ(root):
    assert not all_same(batches(root, 0), batches(root, 1))
    assert not all_same(batches(root, 0), batches(root, 0, sys_seed=2))
    names = {"depth_training_loaders": (), "train_batches_per_epoch": 8}
    steps = batches(root, 0, **names)  # two passes over four labelled images
    assert not all_same(steps[:4], steps[4:])


def test_every_pass_sees_every_sample_once(root):
    data = build_training(tiny.options(root, depth_training_batch_size=3, train_batches_per_epoch=4))
    order = data._orders[0]
    order.epoch, order.start, order.stop = 0, 0, 4
    keys = [key for batch in order for key in batch]  # 8 samples: two batches of three in a pass, two left out
    for number in (0, 1):
        drawn = [key.index for key in keys if key.number == number]
        assert len(drawn) == len(set(drawn)) == 6


def test_lengths_are_numbers_of_samples(root, caplog):
    with caplog.at_level("INFO"):
        data = build_training(tiny.options(root))
    assert data.lengths == (8, 4)
    assert len(data) == 5
    assert "  - Can use 8 images from the kitti_zhou_train_depth" in caplog.text


def test_depth_alone_and_segmentation_alone_are_possible(root):
    assert len(batches(root, 0, segmentation_training_loaders=())[0]) == 1
    assert batches(root, 0, depth_training_loaders=())[0][0].labels is not None
    with pytest.raises(UserError, match="--depth-training-loaders and --segmentation-training-loaders: both are empty"):
        build_training(tiny.options(root, depth_training_loaders=(), segmentation_training_loaders=()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth_training_batch_size": 9}, "--depth-training-batch-size 9: kitti_zhou_train has 8 samples"),
        (
            {"segmentation_training_batch_size": 5},
            "--segmentation-training-batch-size 5: cityscapes_train has 4 samples",
        ),
        ({"segmentation_crop_height": 24}, "-height 24: .* to 16; crop at most 16 or resize to at least 36"),
        ({"segmentation_crop_width": 64}, "--segmentation-crop-width 64: images of --segmentation-resize-width 48"),
        (
            {"depth_resize_width": 64},
            "--depth-resize-height/-width 16 x 64 and --segmentation-crop-height/-width 16 x 32",
        ),
        ({"depth_training_loaders": ("kitti_zhou_trian",)}, r"no such loader \(closest: kitti_zhou_train"),
        ({"depth_training_loaders": ("folder_train",)}, "pass --data-folder DIR"),
        ({"dataset_dir": "/nowhere/at/all"}, "--dataset-dir /nowhere/at/all: no such folder"),
    ],
)
def test_what_cannot_work_is_said_before_training(root, changes, message):
    with pytest.raises(UserError, match=message):
        build_training(tiny.options(root, **changes))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_stops_training_with_one_sentence(tmp_path, workers):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    path = root / f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # neither its head nor its tail betrays it
    path.write_bytes(content)
    data = build_training(tiny.options(root, sys_num_workers=workers))
    with pytest.raises(UserError) as caught:
        list(data.epoch(0))
    data.close()
    assert str(caught.value).startswith(f"{path}: cannot decode")
    assert "\n" not in str(caught.value)


def cut(path: Path) -> Path:
    integrity._sound.discard(str(path))  # sound files are not looked at twice in one process
    path.write_bytes(path.read_bytes()[:-60])
    return path


def test_cut_off_files_are_named_and_counted_before_training(tmp_path):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    image = cut(root / f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png")
    with pytest.raises(UserError) as caught:
        build_training(tiny.options(root))
    assert str(caught.value).startswith(f"{image}: cannot decode (the file ends early, ")
    assert str(caught.value).endswith("fetch it again, or pass --data-on-missing drop to go on without")
    other = cut(root / f"kitti/{tiny.DRIVE}/image_03/data/0000000004.png")
    with pytest.raises(UserError, match=f"2 damaged files in all, also {other}$"):
        build_training(tiny.options(root))


@pytest.mark.parametrize(
    ("purpose", "damaged"),
    [
        ("depth", f"kitti/{tiny.DRIVE}/image_02/data/0000000005.png"),
        ("depth", f"kitti/{tiny.DRIVE}/velodyne_points/data/0000000005.bin"),
        ("segmentation", "cityscapes/gtFine/val/zellstadt/zellstadt_000000_000019_gtFine_labelIds.png"),
        ("pose", f"kitti/{tiny.DRIVE}/image_02/data/0000000005.png"),
    ],
)
def test_damaged_files_are_named_before_evaluation(tmp_path, purpose, damaged):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    tiny.drive_list(root, "odom09", "test_files.txt", range(6))
    poses(root, 6)
    (root / damaged).write_bytes(b"")
    with pytest.raises(UserError) as caught:
        build_evaluation(tiny.options(root), purpose)
    assert str(caught.value).startswith(f"{root / damaged}: the file is empty; fetch it again")
    assert ("--data-on-missing" in str(caught.value)) == (purpose != "pose")


def test_what_training_does_not_use_may_be_damaged(tmp_path):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    (root / f"kitti/{tiny.DRIVE}/velodyne_points/data/0000000002.bin").write_bytes(b"")
    cut(root / "cityscapes/leftImg8bit/val/zellstadt/zellstadt_000000_000019_leftImg8bit.png")
    build_training(tiny.options(root)).close()


def test_samples_with_missing_or_damaged_files_are_left_out_on_demand(tmp_path, caplog):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    (root / f"kitti/{tiny.DRIVE}/image_02/data/0000000001.png").unlink()  # samples 1 and 2
    image = cut(root / f"kitti/{tiny.DRIVE}/image_03/data/0000000005.png")  # sample 4
    label = cut(min((root / "cityscapes/gtFine/train").rglob("*.png")))
    data = build_training(tiny.options(root, data_on_missing="drop"))
    assert data.lengths == (5, 3)
    assert "2 of 8 samples left out for 1 missing file: " in caplog.text and "0000000001.png" in caplog.text
    assert f"kitti_zhou_train: 1 of 6 samples left out for 1 damaged file: {image}" in caplog.text
    assert f"cityscapes_train: 1 of 4 samples left out for 1 damaged file: {label}" in caplog.text
    assert len(list(data.epoch(0))) == 5
    data.close()
    (evaluation,) = build_evaluation(tiny.options(root, data_on_missing="drop"), "depth")
    assert [sample.name[-1] for sample in evaluation.samples] == ["0", "2", "3", "4", "5"] and evaluation.skipped == 0
    for path in (root / "cityscapes/gtFine/train").rglob("*.png"):
        cut(path)
    with pytest.raises(UserError, match="4 damaged files in all, .*; no sample of cityscapes_train is left"):
        build_training(tiny.options(root, data_on_missing="drop"))


def test_trajectories_are_never_torn_apart(tmp_path):
    root = tiny.kitti(tmp_path)
    tiny.drive_list(root, "odom09", "test_files.txt", range(6))
    poses(root, 6)
    path = root / f"kitti/{tiny.DRIVE}/image_02/data/0000000003.png"
    for damage, message in ((cut, "cannot decode"), (Path.unlink, "1 missing file: ")):
        damage(path)
        with pytest.raises(UserError, match=message) as caught:
            build_evaluation(tiny.options(root, data_on_missing="drop"), "pose")
        assert "--data-on-missing" not in str(caught.value)


def test_own_frames_keep_their_order_when_a_damaged_one_is_left_out(tmp_path):
    for number in range(8):
        tiny.save(tmp_path / f"walk/{number}.png", tiny.picture(number))
    (tmp_path / "walk/2.png").write_bytes(b"<html>")
    changes = {
        "depth_training_loaders": ("folder_train",),
        "segmentation_training_loaders": (),
        "dataset_dir": "",
        "data_folder": str(tmp_path),
        "data_intrinsics": (40.0, 42.0, 38.0, 13.0),
    }
    data = build_training(tiny.options(tmp_path, data_on_missing="drop", **changes))
    assert [sample.name for sample in data.datasets[0].samples] == ["walk/4", "walk/5", "walk/6"]
    data.close()


@pytest.mark.parametrize(
    ("purpose", "changes", "kind"),
    [
        ("depth", {}, "raw"),
        ("depth", {"depth_gt": "improved"}, "improved"),
        ("segmentation", {}, "cityscapes labels"),
        ("pose", {}, "camera poses"),
    ],
)
def test_the_kind_of_ground_truth_is_known(tmp_path, purpose, changes, kind):
    root = tiny.cityscapes(tiny.kitti(tmp_path))
    tiny.drive_list(root, "odom09", "test_files.txt", range(6))
    poses(root, 6)
    tiny.save(root / f"kitti/Depth_improved/{tiny.DRIVE}/image_02/0000000002.png", np.full(tiny.SIZE, 256, np.uint16))
    (data,) = build_evaluation(tiny.options(root, **changes), purpose)
    assert data.truth_kind == kind


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_runs_through_all_images_in_order(root, workers):
    (data,) = build_evaluation(tiny.options(root, sys_num_workers=workers, depth_validation_batch_size=4), "depth")
    assert (len(data), len(data.samples), data.skipped) == (2, 6, 0)
    for _ in range(2):
        names = [truth.name for batch in data for truth in batch.truth]
        assert names == [sample.name for sample in data.samples]


def test_frames_without_truth_are_skipped_and_counted(tmp_path):
    root = tiny.kitti(tmp_path)
    for frame in (0, 3):
        (root / f"kitti/{tiny.DRIVE}/velodyne_points/data/{frame:010d}.bin").unlink()
    (data,) = build_evaluation(tiny.options(root), "depth")
    assert (len(data.samples), data.skipped) == (4, 2)
    with pytest.raises(UserError, match="none of its 6 frames has depth"):
        build_evaluation(tiny.options(root, depth_gt="improved"), "depth")


def test_images_of_different_sizes_share_an_evaluation_batch(tmp_path):
    for name, size in (("a", (24, 80)), ("b", (30, 70))):
        for number in range(2):
            tiny.save(tmp_path / name / f"{number}.png", tiny.picture(number, size))
            tiny.save(tmp_path / name / f"depth/{number}.png", np.full(size, 2560, np.uint16))
    changes = {"data_folder": str(tmp_path), "data_intrinsics": (40.0, 40.0, 35.0, 12.0)}
    changes |= {"depth_validation_loaders": ("folder_test",), "depth_validation_batch_size": 4}
    (data,) = build_evaluation(tiny.options(tmp_path, **changes), "depth")
    (batch,) = data
    assert [truth.depth.shape for truth in batch.truth] == [(24, 80), (24, 80), (30, 70), (30, 70)]
    assert batch.K[0, 0, 0] != batch.K[2, 0, 0]


def test_own_data_trains_with_its_own_camera(tmp_path):
    for number in range(4):
        tiny.save(tmp_path / f"walk/{number}.png", tiny.picture(number))
    changes = {
        "depth_training_loaders": ("folder_train",),
        "segmentation_training_loaders": (),
        "dataset_dir": "",
        "data_folder": str(tmp_path),
        "data_intrinsics": (40.0, 42.0, 38.0, 13.0),
    }
    ((batch,), *_) = batches(tmp_path, 0, **changes)
    torch.testing.assert_close(
        batch.K[0, :2, :3], torch.tensor([[40 * 32 / 80, 0, 38 * 32 / 80], [0, 42 * 16 / 24, 13 * 16 / 24]])
    )


def test_segmentation_and_pose_are_evaluated_too(root):
    (segmentation,) = build_evaluation(tiny.options(root), "segmentation")
    assert next(iter(segmentation)).truth[0].labels.shape == (32, 64)
    (pose,) = build_evaluation(tiny.options(root), "pose")
    found = list(pose)
    assert found[0].frames == (0, 1) and found[0].images.shape[:2] == (2, 2)
    assert [truth.pose[2, 3] for batch in found for truth in batch.truth] == [1, 2, 3, 4]


def test_depth_maps_of_scans_are_kept_where_the_console_says(root, tmp_path, caplog):
    for folder, changes in ((tmp_path / "runs", {}), (tmp_path / "maps", {"cache_dir": str(tmp_path / "maps")})):
        with caplog.at_level("INFO"):
            (data,) = build_evaluation(tiny.options(root, checkpoint_dir=str(tmp_path / "runs"), **changes), "depth")
        assert f"kitti_zhou_validation: depth maps of laser scans are kept in {folder}/.velodyne_depth" in caplog.text
        assert len(list(data)) == len(list(folder.rglob("*.png")))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--cache-dir .*file: .* cannot be made"):
        build_evaluation(tiny.options(root, cache_dir=str(tmp_path / "file")), "depth")


def test_ctrl_c_reaches_the_main_process_alone(root, warm):
    """A group-wide interrupt leaves workers alive, so that a step can be finished and saved."""
    code = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "from tests.dataloader.tiny import build_training\n"
        "from tests.dataloader import tiny\n"
        "seen = []\n"
        "signal.signal(signal.SIGINT, lambda *_: seen.append(1))\n"
        "data = build_training(tiny.options(Path(sys.argv[1]), sys_num_workers=2, train_batches_per_epoch=40))\n"
        "steps = data.epoch(0)\n"
        "next(steps)\n"
        "print('ready', flush=True)\n"
        "while not seen: time.sleep(0.01)\n"
        "print(len(list(steps)), flush=True)\n"
        "data.close()\n"
    )
    process = warm("-c", code, root)
    process.until("ready")
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    assert (process.wait(60), process.stdout) == (0, "ready\n39\n"), process.stderr
    assert "Traceback" not in process.stderr
    assert time.monotonic() - started < 30


def test_folders_that_vanish_are_named(tmp_path):
    root = tiny.kitti(tmp_path)
    shutil.rmtree(root / "kitti" / tiny.DATE)
    with pytest.raises(UserError, match=r"train_files\.txt: \d+ missing files"):
        build_training(tiny.options(root, segmentation_training_loaders=()))
