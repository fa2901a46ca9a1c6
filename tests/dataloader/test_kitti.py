"""KITTI drives: lists, index files, layouts, ground truth."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dataloader.batch import to_device
from dataloader.catalog import find_loader
from dataloader.files import read_depth, read_image
from dataloader.layouts.kitti_files import KittiFiles
from dataloader.lists import Frame
from dataloader.prepare import __main__ as prepare
from dataloader.splits import resolve, with_truth
from errors import UserError
from tests.dataloader import tiny

TRAIN = find_loader("depth", "kitti_zhou_train", training=True)
VALIDATION = find_loader("depth", "kitti_zhou_validation")
TEST = find_loader("depth", "kitti_zhou_test")


def names(samples: list) -> list[str]:
    return [sample.name for sample in samples]


@pytest.mark.parametrize("place", ["", "splits"])
def test_a_text_list_means_exactly_its_lines(tmp_path, place):
    root = tiny.kitti(tmp_path)
    lines = [f"{tiny.DRIVE} {frame} {side}" for frame, side in ((3, "r"), (1, "l"), (3, "r"))]
    shutil.rmtree(root / "kitti_zhou_split")
    tiny.kitti_list(root / "kitti_zhou_split" / place, "train_files.txt", lines)
    samples = resolve(TRAIN, root)
    assert names(samples) == [
        f"{tiny.DRIVE}/image_03/0000000003",
        f"{tiny.DRIVE}/image_02/0000000001",
        f"{tiny.DRIVE}/image_03/0000000003",
    ]
    assert samples[0].images == {
        offset: f"{root}/kitti/{tiny.DRIVE}/image_03/data/{3 + offset:010d}.png" for offset in (0, -1, 1)
    }


@pytest.mark.parametrize("kind", [".png", ".jpg"])
@pytest.mark.parametrize("inside", ["", "Raw_data"])
def test_drives_lie_directly_inside_or_below_raw_data_as_png_or_jpg(tmp_path, kind, inside):
    tiny.kitti_images(tmp_path / "kitti" / inside, kind=kind)
    tiny.kitti_list(tmp_path / "kitti_zhou_split", "train_files.txt", [f"{tiny.DRIVE} 2 l", f"{tiny.DRIVE} 2 r"])
    samples = resolve(TRAIN, tmp_path)
    assert len(samples) == 2
    assert all(path.endswith(kind) and read_image(path).shape == (*tiny.SIZE, 3) for path in samples[1].images.values())


def test_a_missing_right_camera_is_fine_for_left_lines(tmp_path):
    root = tiny.kitti(tmp_path, cameras=(2,))
    assert len(resolve(TRAIN, root)) == 4


def drop_right_camera(root: Path, drive: str = tiny.DRIVE) -> None:
    shutil.rmtree(root / "kitti" / drive / "image_03")


def test_training_leaves_out_right_lines_of_drives_without_a_right_camera(tmp_path, caplog):
    root = tiny.kitti(tmp_path)
    other = tiny.DRIVE.replace("0001", "0002")
    tiny.kitti_images(root / "kitti", other)
    lists = root / "kitti_zhou_split/train_files.txt"
    lists.write_text(lists.read_text() + f"{other} 1 r\n")
    drop_right_camera(root)
    with caplog.at_level("INFO"):
        samples = resolve(TRAIN, root)
    assert names(samples) == [f"{tiny.DRIVE}/image_02/{frame:010d}" for frame in range(1, 5)] + [
        f"{other}/image_03/0000000001"
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "  - kitti_zhou_train: 4 right images left out, their drives have no folder image_03"
    ]


def test_an_index_with_right_images_trains_on_a_download_without_them(tmp_path, caplog):
    root = tiny.kitti(tmp_path)
    indexed(root, [1, 2, 3], prefix="Raw_data/")
    drop_right_camera(root)
    with caplog.at_level("INFO"):
        assert names(resolve(TRAIN, root)) == [f"{tiny.DRIVE}/image_02/{frame:010d}" for frame in (1, 2, 3)]
    assert caplog.text.count("3 right images left out") == 1


def test_right_images_alone_without_a_right_camera_are_an_error(tmp_path):
    root = tiny.kitti(tmp_path)
    drop_right_camera(root)
    tiny.drive_list(root, "zhou", "train_files.txt", [1, 2], side="r")
    with pytest.raises(UserError, match=r"train_files\.txt: all 2 frames are of right cameras"):
        resolve(TRAIN, root)
    indexed(root, [1, 2], ("color_right",))
    with pytest.raises(UserError, match=r"train\.json: all 2 frames are of right cameras"):
        resolve(TRAIN, root)


def test_a_right_camera_must_be_whole_where_it_is_and_for_evaluation(tmp_path):
    root = tiny.kitti(tmp_path)
    (root / f"kitti/{tiny.DRIVE}/image_03/data/0000000003.png").unlink()
    with pytest.raises(UserError, match=r"1 missing file: .*image_03/data/0000000003\.png"):
        resolve(TRAIN, root)
    drop_right_camera(root)
    tiny.drive_list(root, "zhou", "val_files.txt", [1, 2], side="r")
    with pytest.raises(UserError, match=r"2 missing files: .*image_03/data/0000000001\.png"):
        resolve(VALIDATION, root)
    shutil.rmtree(root / "kitti" / tiny.DRIVE)
    tiny.drive_list(root, "zhou", "train_files.txt", [1], side="r")
    with pytest.raises(UserError, match="3 missing files"):
        resolve(TRAIN, root)


def test_odometry_sequences_train_without_their_right_camera(tmp_path):
    for frame in range(3):
        tiny.save(tmp_path / f"kitti/sequences/04/image_2/{frame:06d}.png", tiny.picture(frame))
    tiny.kitti_list(tmp_path / "kitti_odom09_split", "train_files.txt", ["4 1 l", "4 1 r"])
    assert names(resolve(find_loader("depth", "kitti_odom09_train", training=True), tmp_path)) == [
        "04/image_02/0000000001"
    ]


def test_a_missing_file_counts_once_however_many_samples_need_it(tmp_path):
    root = tiny.kitti(tmp_path)
    (root / f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png").unlink()
    with pytest.raises(UserError) as caught:
        resolve(TRAIN, root)
    assert "train_files.txt: 1 missing file: " in str(caught.value)
    assert str(caught.value).count("0000000002.png") == 1


@pytest.mark.parametrize("index", [False, True])
def test_samples_with_missing_files_are_left_out_on_demand(tmp_path, caplog, index):
    root = tiny.kitti(tmp_path)
    if index:
        indexed(root, [1, 2, 3, 4], ("color",))
    else:
        tiny.drive_list(root, "zhou", "train_files.txt", range(1, 5))
    (root / f"kitti/{tiny.DRIVE}/image_02/data/0000000001.png").unlink()
    assert names(resolve(TRAIN, root, drop=True)) == [f"{tiny.DRIVE}/image_02/{frame:010d}" for frame in (3, 4)]
    assert "2 of 4 samples left out for 1 missing file: " in caplog.text and "0000000001.png" in caplog.text
    shutil.rmtree(root / f"kitti/{tiny.DRIVE}/image_02")
    with pytest.raises(UserError, match=r"no sample without a missing file \(6 missing files: .* and 3 more\)"):
        resolve(TRAIN, root, drop=True)


def test_the_remedy_replaces_index_files_and_makes_missing_ones(tmp_path):
    root = tiny.kitti(tmp_path)
    (root / f"kitti/{tiny.DRIVE}/image_02/data/0000000002.png").unlink()
    with pytest.raises(UserError, match="prepare index kitti, or pass --data-on-missing drop to go on without"):
        resolve(TRAIN, root)
    indexed(root, [1, 2])
    with pytest.raises(UserError, match="prepare index kitti --overwrite, or pass"):
        resolve(TRAIN, root)


def test_missing_neighbours_are_named_and_counted_at_the_start(tmp_path):
    root = tiny.kitti(tmp_path)
    tiny.drive_list(root, "zhou", "train_files.txt", [0, 1, 5, 9])
    message = r"train_files\.txt: 5 missing files: .*-000000001\.png, .*6\.png, .*9\.png and 2 more; "
    with pytest.raises(UserError, match=message):
        resolve(TRAIN, root)


def test_looking_for_files_lists_folders_instead_of_asking_for_each_file(tmp_path, monkeypatch):
    root = tiny.kitti(tmp_path)
    calls = []
    for name in ("stat", "listdir"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, real=real, **more: calls.append(given) or real(*given, **more))
    tiny.drive_list(root, "zhou", "train_files.txt", [1 + frame % 4 for frame in range(500)])
    calls.clear()
    resolve(TRAIN, root)
    assert len(calls) < 50


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda root: shutil.rmtree(root / "kitti"), "kitti: no such folder"),
        (
            lambda root: shutil.rmtree(root / "kitti_zhou_split"),
            r"kitti_zhou_split: neither train\.json nor train_files",
        ),
        (lambda root: (root / "kitti_zhou_split/train_files.txt").write_text(""), "the list is empty"),
        (lambda root: (root / "kitti_zhou_split/train.json").write_text("{"), r"train\.json: damaged index file"),
        (lambda root: (root / "kitti/parameters.json").write_text('{"K": [[1, 2]]}'), r"parameters\.json: K has shape"),
        (
            lambda root: (root / "kitti/parameters.json").write_text('{"K": "x"}'),
            r"parameters\.json: K is not a matrix",
        ),
        (
            lambda root: (root / "kitti/parameters.json").write_text('{"K": [[0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]}'),
            r"parameters\.json: K: focal lengths 0, 1 must be positive",
        ),
        (lambda root: (root / "kitti/parameters.json").write_text('{"depth_mode": "inches"}'), "'inches' is unknown"),
    ],
)
def test_broken_data_folders_are_named(tmp_path, broken, message):
    root = tiny.kitti(tmp_path)
    broken(root)
    with pytest.raises(UserError, match=message):
        resolve(TRAIN, root)


def test_a_missing_data_set_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="--dataset-dir .*absent: no such folder"):
        resolve(TRAIN, tmp_path / "absent")
    with pytest.raises(UserError, match="--dataset-dir: not given"):
        resolve(TRAIN, "")


def test_intrinsics_are_the_published_constants_or_those_of_parameters_json(tmp_path):
    root = tiny.kitti(tmp_path)
    assert resolve(TRAIN, root)[0].intrinsics == (0.58, 1.92, 0.5, 0.5)
    (root / "kitti/parameters.json").write_text(
        '{"K": [[0.6, 0, 0.4, 0], [0, 2, 0.45, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "depth_mode": null}'
    )
    assert resolve(TRAIN, root)[0].intrinsics == (0.6, 2.0, 0.4, 0.45)


def camera(cx: object, fx: object = 0.6) -> str:
    return json.dumps({"K": [[fx, 0, cx, 0], [0, 2, 0.45, 0], [0, 0, 1, 0], [0, 0, 0, 1]]})


@pytest.mark.parametrize(
    ("content", "cx", "mirrored"),
    [(None, 160, 160), (camera(0.5), 160, 160), (camera(0.4), 128, 319 - 128), (camera(0.6), 192, 319 - 192)],
)
def test_the_principal_point_of_parameters_json_is_mirrored_with_its_image(tmp_path, content, cx, mirrored):
    root = tiny.kitti(tmp_path)
    if content:
        (root / "kitti/parameters.json").write_text(content)
    args = tiny.options(root, segmentation_training_loaders=(), depth_resize_width=320, depth_training_batch_size=8)
    ((batch,), *_) = tiny.build_training(args).epoch(0)
    assert 0 < batch.flip.sum() < 8
    found = to_device(batch, "cpu").K[:, 0, 2]
    torch.testing.assert_close(found, torch.where(batch.flip, float(mirrored), float(cx)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            json.dumps({"K": [[721, 0, 609], [0, 721, 172], [0, 0, 1]]}),
            r"K: principal point 609, 172 lies outside .*; divide its row 1 by the width and its row 2 by the",
        ),
        (camera(float("nan")), r"K: 0\.6, 2, nan, 0\.45 are not four numbers; mend it, or delete the file to use the"),
        (camera(0.4, 1e39), r"K: 1e\+39 becomes 0 or infinite in float32"),
        (camera(0.4, 1e-40), r"K: 1e-40 becomes 0 or infinite in float32"),
        (camera(1e-50), r"K: 1e-50 becomes 0 or infinite in float32"),
        ("{", r"parameters\.json: damaged file .*; mend it, or delete the file to use the published camera"),
    ],
)
def test_a_camera_of_parameters_json_that_cannot_be_is_told_in_plain_numbers(tmp_path, content, message):
    root = tiny.kitti(tmp_path)
    (root / "kitti/parameters.json").write_text(content)
    with pytest.raises(UserError, match=message) as error:
        resolve(TRAIN, root)
    assert "float64" not in str(error.value) and "prepare index" not in str(error.value)


def test_the_zhou_test_set_may_lie_in_the_eigen_folder(tmp_path):
    root = tiny.kitti(tmp_path)
    (root / "kitti_zhou_split/test_files.txt").unlink()
    tiny.kitti_list(root / "kitti_eigen_split", "test_files.txt", [f"{tiny.DRIVE}/image_02/data/0000000004.png"])
    assert names(resolve(TEST, root)) == [f"{tiny.DRIVE}/image_02/0000000004"]


BOTH = ("color", "color_right")


def indexed(root: Path, split: list[int], categories: tuple[str, ...] = BOTH, prefix: str = "") -> None:
    folders = {"color": "image_02", "color_right": "image_03", "depth": "image_02"}
    columns = {
        name: [
            f"{'Depth/' if name == 'depth' else prefix}{tiny.DRIVE}/{folders[name]}/data/{frame:010d}.png"
            for frame in range(6)
        ]
        for name in categories
    }
    part = "validation" if "depth" in categories else "train"
    tiny.index_files(root, columns, split, part=f"kitti_zhou_split/{part}.json")


def test_index_files_bring_in_left_then_right_and_win_over_lists(tmp_path):
    root = tiny.kitti(tmp_path)
    indexed(root, [0, 2, 3])
    assert names(resolve(TRAIN, root)) == [
        f"{tiny.DRIVE}/image_{camera}/{frame:010d}" for camera in ("02", "03") for frame in (2, 3)
    ]


def test_an_index_without_right_images_gives_left_samples(tmp_path):
    root = tiny.kitti(tmp_path)
    indexed(root, [1, 2], ("color",))
    assert len(resolve(TRAIN, root)) == 2


def test_indexed_paths_are_found_without_raw_data_and_as_jpg(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", kind=".jpg")
    indexed(tmp_path, [1, 2], prefix="Raw_data/")
    assert resolve(TRAIN, tmp_path)[0].images[-1] == f"{tmp_path}/kitti/{tiny.DRIVE}/image_02/data/0000000000.jpg"


def test_images_an_index_names_must_exist(tmp_path):
    root = tiny.kitti(tmp_path)
    indexed(root, [1, 2, 3])
    (root / f"kitti/{tiny.DRIVE}/image_03/data/0000000004.png").unlink()
    with pytest.raises(UserError, match=r"train\.json: 1 missing file: .*image_03/data/0000000004\.png"):
        resolve(TRAIN, root)


def test_an_index_without_usable_frames_is_an_error(tmp_path):
    root = tiny.kitti(tmp_path)
    indexed(root, [0, 5])
    with pytest.raises(UserError, match=r"train\.json: no frame in it"):
        resolve(TRAIN, root)


def depth_map(root: Path, folder: str, frame: int, metres: float) -> None:
    tiny.save(root / folder / f"{frame:010d}.png", np.full(tiny.SIZE, metres * 256, np.uint16))


def test_indexed_depth_maps_are_read_and_fall_back_on_scans(tmp_path):
    root = tiny.kitti(tmp_path)
    depth_map(root, f"kitti/Depth/{tiny.DRIVE}/image_02/data", 2, 7)
    indexed(root, [2, 3], ("color", "depth"))
    with_map, with_scan = resolve(VALIDATION, root)
    assert read_depth(with_map.depth).max() == 7
    assert with_scan.depth.kind == "velodyne"


@pytest.mark.parametrize("scan", [True, False])
def test_a_frame_that_an_index_has_no_map_of_stays_in_the_set(tmp_path, scan, caplog):
    root = tiny.kitti(tmp_path)
    depth_map(root, f"kitti/Depth/{tiny.DRIVE}/image_02/data", 2, 7)
    indexed(root, [2, 3], ("color", "depth"))
    tiny.without_last(root / "kitti_zhou_split/validation.json", "depth")
    if not scan:
        (root / f"kitti/{tiny.DRIVE}/velodyne_points/data/0000000003.bin").unlink()
    samples = resolve(VALIDATION, root)
    assert [sample.depth and sample.depth.kind for sample in samples] == ["map", "velodyne" if scan else None]
    with caplog.at_level("INFO"):
        assert len(with_truth(VALIDATION, samples)) == 1 + scan
    assert ("1 of 2 frames skipped" in caplog.text) is not scan


def test_maps_go_before_scans_and_frames_without_either_are_skipped(tmp_path, caplog):
    root = tiny.kitti(tmp_path)
    depth_map(root, f"kitti/Depth/{tiny.DRIVE}/image_02/data", 1, 7)
    (root / f"kitti/{tiny.DRIVE}/velodyne_points/data/0000000003.bin").unlink()
    samples = resolve(VALIDATION, root)
    assert [sample.depth.kind if sample.depth else "" for sample in samples] == [
        "velodyne",
        "map",
        "velodyne",
        "",
        "velodyne",
        "velodyne",
    ]
    with caplog.at_level("INFO"):
        assert len(with_truth(VALIDATION, samples)) == 5
    assert "1 of 6 frames skipped" in caplog.text


@pytest.mark.parametrize(
    "folder",
    [
        "kitti/Depth_improved/{drive}/image_02/data",
        "kitti/Depth_improved/{drive}/image_02",
        "kitti/Depth_improved/val/{short}/proj_depth/groundtruth/image_02",
        "kitti/{drive}/proj_depth/groundtruth/image_02",
        "kitti/train/{short}/proj_depth/groundtruth/image_02",
        "data_depth_annotated/train/{short}/proj_depth/groundtruth/image_02",
        "kitti_depth/{short}/proj_depth/groundtruth/image_02",
        "kitti/val/{drive}/proj_depth/groundtruth/image_02",
    ],
)
def test_improved_depth_is_found_in_every_official_layout(tmp_path, folder):
    root = tiny.kitti(tmp_path)
    depth_map(root, folder.format(drive=tiny.DRIVE, short=tiny.DRIVE.split("/")[1]), 2, 9)
    samples = resolve(VALIDATION, root, depth_gt="improved")
    assert [sample.name[-1] for sample in with_truth(VALIDATION, samples)] == ["2"]
    assert read_depth(samples[2].depth).max() == 9


def test_no_ground_truth_at_all_is_an_error(tmp_path):
    root = tiny.kitti(tmp_path)
    with pytest.raises(UserError, match="kitti_zhou_validation: none of its 6 frames has depth"):
        with_truth(VALIDATION, resolve(VALIDATION, root, depth_gt="improved"))


def test_projected_scans_are_kept_outside_the_data(tmp_path):
    root = tiny.kitti(tmp_path / "data")
    before = sorted(root.rglob("*"))
    sample = resolve(VALIDATION, root, cache_folder=str(tmp_path / "runs"))[2]
    assert (read_depth(sample.depth) > 0).sum() == 2
    (kept,) = (tmp_path / "runs/.velodyne_depth").rglob("*.png")
    assert kept.name.startswith("0000000002_")
    assert resolve(VALIDATION, root)[0].depth.cache == ""
    assert sorted(root.rglob("*")) == before


def test_maps_that_earlier_versions_kept_with_the_data_are_not_read(tmp_path):
    root = tiny.kitti(tmp_path / "data")
    (sample, *_) = resolve(VALIDATION, root, cache_folder=str(tmp_path / "runs"))
    truth = read_depth(sample.depth)
    (kept,) = (tmp_path / "runs").rglob("*.png")
    tiny.save(
        root / f"kitti/.velodyne_depth/{sample.name.rpartition('/')[0]}/{kept.name}", np.full(tiny.SIZE, 9, np.uint16)
    )
    (again, *_) = resolve(VALIDATION, root, cache_folder=str(tmp_path / "other"))
    assert np.array_equal(read_depth(again.depth), truth)


def test_odometry_training_lists_find_sequences_and_the_drives_behind_them(tmp_path):
    drive = "2011_09_30/2011_09_30_drive_0028_sync"
    tiny.kitti_images(tmp_path / "kitti", drive, frames=range(1100, 1103), cameras=(2,))
    for frame in range(3):
        tiny.save(tmp_path / f"kitti/sequences/04/image_3/{frame:06d}.png", tiny.picture(frame))
    tiny.kitti_list(tmp_path / "kitti_odom09_split", "train_files.txt", ["8 1 l", "4 1 r"])
    raw, sequence = resolve(find_loader("depth", "kitti_odom09_train", training=True), tmp_path)
    assert raw.images[1].endswith(f"{drive}/image_02/data/0000001102.png")
    assert sequence.images[-1].endswith("sequences/04/image_3/000000.png")


@pytest.mark.parametrize("index", [False, True])
def test_sequences_of_the_odometry_test_train_without_poses(tmp_path, index, capsys):
    for frame in range(3):
        tiny.save(tmp_path / f"kitti/sequences/11/image_2/{frame:06d}.png", tiny.picture(frame))
    tiny.kitti_list(tmp_path / "kitti_odom09_split", "train_files.txt", ["11 1 l"])
    if index:
        assert prepare.main(["index", "kitti", "--dataset-dir", str(tmp_path)]) == 0
    (sample,) = resolve(find_loader("depth", "kitti_odom09_train", training=True), tmp_path)
    assert sample.name == "11/image_02/0000000001"
    assert [Path(sample.images[frame]).stem for frame in (0, -1, 1)] == ["000001", "000000", "000002"]


def test_missing_odometry_images_are_named_by_sequence(tmp_path):
    (tmp_path / "kitti").mkdir()
    files = KittiFiles(tmp_path)
    assert files.image(Frame("09", 3)) == ""
    assert files.expected_image(Frame("09", 3)).endswith("kitti/sequences/09/image_2/000003.png")
