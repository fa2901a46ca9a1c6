"""Index files written from what is on disk resolve as the lists they were made from."""

import argparse
import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from dataloader import splits
from dataloader.catalog import LOADERS, find_loader
from dataloader.index import read_index, resolve_index
from dataloader.lists import parse_image_path
from dataloader.prepare import index
from dataloader.prepare.columns import (
    basic_content,
    make_columns,
    number_frames,
    parameters_content,
    positions,
    split_content,
)
from dataloader.prepare.scan import KINDS, _walk, scan
from dataloader.prepare.values import Values
from errors import UserError
from tests import golden, real_data

DATE = "2011_09_26"
LEFT, RIGHT = "image_02", "image_03"


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    index.add_arguments(parser)
    return index.run(parser.parse_args([str(word) for word in words]))


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def drive(number: int) -> str:
    return f"{DATE}/{DATE}_drive_{number:04d}_sync"


def image(number: int, frame: int, camera: str = LEFT, kind: str = "png") -> str:
    return f"{drive(number)}/{camera}/data/{frame:010d}.{kind}"


def write_list(home: Path, split: str, name: str, *lines: str) -> None:
    path = home / f"kitti_{split}_split" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def home(tmp_path):
    """Two drives of six frames with both cameras, depth of the left one without its ends, and lists."""
    for number in (1, 2):
        touch(tmp_path / "kitti", *(image(number, frame, camera) for frame in range(6) for camera in (LEFT, RIGHT)))
        touch(tmp_path / "kitti", *(f"Depth/{image(number, frame)}" for frame in range(1, 5)))
    write_list(
        tmp_path, "zhou", "train_files.txt", *(f"{drive(1)} {frame} {side}" for frame in (1, 3) for side in "lr")
    )
    write_list(tmp_path, "zhou", "val_files.txt", f"{drive(2)} 2 l", f"{drive(2)} 4 l")
    write_list(tmp_path, "eigen", "test_files.txt", f"{drive(2)} 0000000003 l")
    return tmp_path


def test_the_published_example_is_rebuilt_from_its_file_names(tmp_path):
    meta, _ = golden.load("sgdepth_index")
    wanted = meta["kitti/basic_files.json"]
    for files, numbers in zip(wanted["files"], wanted["numerical_values"], strict=True):
        if numbers is None:
            touch(tmp_path, *files)
    found = scan(tmp_path, KINDS["kitti"])
    ids = number_frames(found["color"])
    rows = zip(wanted["names"], wanted["filters"], wanted["numerical_values"], strict=True)
    values = [
        Values(name, tuple(filters), dict(zip(ids, numbers, strict=True))) for name, filters, numbers in rows if numbers
    ]
    columns = make_columns(KINDS["kitti"], found, values, ids)
    assert basic_content(columns) == wanted

    train = meta["kitti_zhou_split/train.json"]
    listed = [parse_image_path(path) for path in train["files"][train["names"].index("color")]]
    assert split_content(columns, {ids[frame.drive, frame.number] for frame in listed}) == train
    assert parameters_content("kitti", ["zhou_split"]) == meta["kitti/parameters.json"]


def test_links_are_followed_but_not_back_into_the_folders_they_lie_in(tmp_path):
    for number in range(3):
        touch(tmp_path / "elsewhere", image(number, 1))
        (tmp_path / "elsewhere" / drive(number) / "up").symlink_to(tmp_path / "kitti")
    (tmp_path / "kitti").mkdir()
    (tmp_path / "kitti/2011_09_26").symlink_to(tmp_path / "elsewhere/2011_09_26")
    (tmp_path / "kitti/Raw_data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "kitti/here").symlink_to(".")
    (tmp_path / "kitti/parent").symlink_to("..")
    wanted = {place + image(number, 1) for number in range(3) for place in ("", "Raw_data/")}
    walked = [*islice(_walk(tmp_path / "kitti"), 50)]
    assert wanted <= {*walked} and len({*walked}) == len(walked) < 50
    assert len(scan(tmp_path / "kitti", KINDS["kitti"])["color"]) == 3


def test_loaders_find_the_same_through_index_files_as_through_lists(home):
    names = [("depth", "kitti_zhou_train"), ("depth", "kitti_zhou_validation"), ("depth", "kitti_zhou_test")]
    specs = [LOADERS[name] for name in names]
    listed = [{sample.name: sample for sample in splits.resolve(spec, home)} for spec in specs]
    assert run("kitti", "--dataset-dir", home) == 0
    indexed = [{sample.name: sample for sample in splits.resolve(spec, home)} for spec in specs]
    assert indexed == listed
    assert [len(samples) for samples in indexed] == [4, 2, 1]
    assert (home / "kitti_zhou_split" / "test.json").is_file()  # made from the Eigen test list


def test_a_frame_of_one_camera_brings_in_both(home):
    write_list(home, "zhou", "train_files.txt", f"{drive(1)} 1 r")
    run("kitti", "--dataset-dir", home)
    samples = splits.resolve(find_loader("depth", "kitti_zhou_train", training=True), home)
    assert sorted(sample.name for sample in samples) == [f"{drive(1)}/{camera}/0000000001" for camera in (LEFT, RIGHT)]


def test_frames_that_are_not_on_disk_are_left_out_and_counted(home, capsys):
    write_list(
        home, "zhou", "train_files.txt", f"{drive(1)} 1 l", f"{drive(1)} 0 l", *(f"{drive(7)} {i} l" for i in range(5))
    )
    run("kitti", "--dataset-dir", home)
    told = capsys.readouterr().out
    assert "train.json: 7 entries of train_files.txt, 2 frames; 5 not on disk" in told
    assert f"{drive(7)}/image_02/0000000000, " in told
    assert "1 without both neighbours" in told
    samples = splits.resolve(find_loader("depth", "kitti_zhou_train", training=True), home)
    assert {sample.name for sample in samples} == {f"{drive(1)}/{camera}/0000000001" for camera in (LEFT, RIGHT)}


def test_an_index_of_a_full_download_is_rebuilt_for_part_of_it_and_back(home):
    shutil.rmtree(home / "kitti_eigen_split")
    run("kitti", "--dataset-dir", home)
    published = (home / "kitti_zhou_split" / "train.json").read_bytes()
    for name in ("train_files.txt", "val_files.txt"):
        (home / "kitti_zhou_split" / name).unlink()
    missing = home / "kitti" / image(1, 4)
    missing.unlink()
    with pytest.raises(UserError, match=r"index files are there and differ; pass --overwrite"):
        run("kitti", "--dataset-dir", home)
    assert (home / "kitti_zhou_split" / "train.json").read_bytes() == published
    run("kitti", "--dataset-dir", home, "--overwrite")
    names = {sample.name for sample in splits.resolve(LOADERS["depth", "kitti_zhou_train"], home)}
    assert names == {f"{drive(1)}/{camera}/0000000001" for camera in (LEFT, RIGHT)}
    missing.touch()  # the rest of the download arrives
    run("kitti", "--dataset-dir", home, "--overwrite")
    assert (home / "kitti_zhou_split" / "train.json").read_bytes() == published


def test_an_index_that_was_interrupted_is_not_taken_for_whole(home, monkeypatch):
    written = []

    def stop_at_the_fourth(path: Path, content: bytes) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        path.write_bytes(content)
        written.append(path)

    monkeypatch.setattr(index, "put", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        run("kitti", "--dataset-dir", home)
    assert (home / "kitti_zhou_split/train.json").is_file()
    with pytest.raises(UserError, match=r"basic_files\.json: cannot be read .*; rebuild it with"):
        splits.resolve(LOADERS["depth", "kitti_zhou_train"], home)


def test_what_users_edit_is_not_replaced(home):
    (home / "kitti" / "parameters.json").write_text('{"K": null}')
    run("kitti", "--dataset-dir", home, "--overwrite")
    assert (home / "kitti" / "parameters.json").read_text() == '{"K": null}'


def test_a_split_of_which_nothing_is_there_keeps_its_list_only(home, capsys):
    write_list(home, "benchmark", "val_files.txt", f"{drive(9)} 1 l")
    run("kitti", "--dataset-dir", home)
    assert "kitti_benchmark_split/validation.json: 1 entries of val_files.txt, 0 frames" in capsys.readouterr().out
    assert not (home / "kitti_benchmark_split" / "validation.json").exists()


def test_another_folder_can_take_the_files(home, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    run("kitti", "--dataset-dir", home, "--out", out)
    assert not list(home.rglob("*.json"))
    assert json.loads((out / "kitti" / "parameters.json").read_text())["splits"] == ["eigen_split", "zhou_split"]


def test_sequences_break_where_numbers_or_recordings_do():
    keys = [("a", 0), ("a", 1), ("a", 3), ("b", 4), ("b", 5), ("b", 6)]
    rows = positions(keys, {key: 10 + place for place, key in enumerate(keys)})
    assert rows == [[10, 0, 1, 0], [11, 1, 0, 1], [12, 0, 0, 2], [13, 0, 2, 3], [14, 1, 1, 4], [15, 2, 0, 5]]
    assert positions([], {}) == []


def test_right_images_and_depth_without_a_left_image_are_left_out(home):
    (home / "kitti" / image(1, 5)).unlink()
    (home / "kitti" / image(2, 0, RIGHT)).unlink()
    contents = index.build(home, "kitti")["kitti/basic_files.json"]
    files = dict(zip(contents["names"], contents["files"], strict=True))
    assert [len(files[name]) for name in ("color", "color_right", "depth")] == [11, 10, 8]
    rows = dict(zip(contents["names"], contents["positions"], strict=True))["color_right"]
    assert rows[4:6] == [[4, 4, 0, 4], [6, 0, 4, 5]]  # frame 1 of drive 2 has no right neighbour before it


def test_order_ignores_case_and_a_png_goes_before_a_jpeg(tmp_path):
    write_list(tmp_path, "zhou", "train_files.txt", f"{drive(1)} 1 l")
    touch(tmp_path / "kitti", *(image(1, frame, kind=kind) for frame in (0, 1) for kind in ("jpg", "png")))
    touch(tmp_path / "kitti", "2011_09_26/B/image_02/data/0.png", "2011_09_26/a/image_02/data/0.png")
    contents = index.build(tmp_path, "kitti")["kitti/basic_files.json"]
    assert contents["files"][0] == [
        image(1, 0),
        image(1, 1),
        "2011_09_26/a/image_02/data/0.png",
        "2011_09_26/B/image_02/data/0.png",
    ]


def test_annotated_depth_is_found_in_the_layout_of_its_archive(home):
    name = drive(1).rpartition("/")[2]
    archive = f"Depth_improved/train/{name}/proj_depth/groundtruth/image_02"
    touch(home / "kitti", *(f"{archive}/{i:010d}.png" for i in (1, 2)))
    touch(home / "kitti", f"{drive(2)}/proj_depth/groundtruth/image_03/0000000002.png")
    contents = index.build(home, "kitti")["kitti/basic_files.json"]
    positions_of = dict(zip(contents["names"], contents["positions"], strict=True))
    assert positions_of["depth_improved"] == [[1, 0, 1, 0], [2, 1, 0, 1]]
    assert positions_of["depth_improved_right"] == [[8, 0, 0, 0]]


def test_numbers_beside_the_drives_are_taken_in(home):
    folder = home / "kitti" / drive(1)
    (folder / LEFT / "timestamps.txt").write_text("2011-09-26 13:02:25.5\n\n2011-09-26 13:02:25.75\n")
    (folder / "oxts" / "data").mkdir(parents=True)
    (folder / "oxts" / "data" / "0000000004.txt").write_text(" ".join(str(value) for value in range(30)))
    (folder / "oxts" / "data" / "0000000005.txt").write_text("cut off")
    (folder.parent / "calib_cam_to_cam.txt").write_text(
        "P_rect_02: 700 0 600 4 0 701 180 5 0 0 1 6\nP_rect_03: 710 0 610 4 0 711 181 5 0 0 1 6\n"
    )
    contents = index.build(home, "kitti")["kitti/basic_files.json"]
    values = dict(zip(contents["names"], contents["numerical_values"], strict=True))
    rows = dict(zip(contents["names"], contents["positions"], strict=True))
    assert values["timestamp"] == [46945.5, 46945.75]
    assert rows["timestamp"] == [[0, 0, 0, 0], [2, 0, 0, 1]]
    assert values["velocity"] == [8.0]
    assert rows["velocity"] == [[4, 0, 0, 0]]
    assert values["camera_intrinsics"] == [[[700, 0, 600, 0], [0, 701, 180, 0], [0, 0, 1, 0], [0, 0, 0, 1]]] * 12
    assert values["camera_intrinsics_right"][0][0] == [710, 0, 610, 0]
    assert contents["files"][contents["names"].index("camera_intrinsics_right")][0] == image(1, 0, RIGHT)


@pytest.mark.parametrize("line", ["{drive} {frame} l", "9 {frame} l"])
def test_odometry_poses_come_back_through_the_index(tmp_path, line):
    name = "2011_09_30/2011_09_30_drive_0033_sync" if line.startswith("9") else drive(1009)
    touch(tmp_path / "kitti", *(f"{name}/image_02/data/{frame:010d}.png" for frame in range(5)))
    write_list(tmp_path, "odom09", "test_files.txt", *(line.format(drive=name, frame=frame) for frame in range(4)))
    poses = np.arange(60.0).reshape(5, 12)
    (tmp_path / "kitti" / "poses").mkdir()
    np.savetxt(tmp_path / "kitti" / "poses" / "09.txt", poses)
    spec = LOADERS["pose", "kitti_odom09_validation"]
    listed = splits.resolve(spec, tmp_path)
    run("kitti", "--dataset-dir", tmp_path)
    indexed = splits.resolve(spec, tmp_path)
    assert [sample.images for sample in indexed] == [sample.images for sample in listed]
    assert len(indexed) == 3
    for sample, other in zip(indexed, listed, strict=True):
        np.testing.assert_array_equal(sample.pose, other.pose)


def test_kitti_2015_is_indexed_by_pairs(tmp_path):
    for i in range(3):
        root = tmp_path / "kitti_2015"
        touch(root, *(f"training/image_{camera}/{i:06d}_{j}.png" for camera in (2, 3) for j in (10, 11)))
        touch(root, *(f"training/{kind}/{i:06d}_10.png" for kind in ("semantic", "flow_noc", "disp_occ_0")))
        touch(root, f"testing/image_2/{i:06d}_10.png", f"training/calib_cam_to_cam/{i:06d}.txt")
    specs = [LOADERS[purpose, "kitti_2015_train"] for purpose in ("depth", "segmentation")]
    plain = [splits.resolve(spec, tmp_path) for spec in specs]
    assert run("kitti_2015", "--dataset-dir", tmp_path) == 0
    assert [splits.resolve(spec, tmp_path) for spec in specs] == plain
    basic = json.loads((tmp_path / "kitti_2015" / "basic_files.json").read_text())
    assert basic["names"] == ["color", "color_right", "segmentation", "flow_noc"]
    rows = dict(zip(basic["names"], basic["positions"], strict=True))
    assert rows["color"][:5] == [[0, 0, 0, 0], [1, 0, 0, 1], [2, 0, 0, 2], [3, 0, 1, 3], [4, 1, 0, 4]]
    assert rows["segmentation"] == [[3, 0, 0, 0], [5, 0, 0, 1], [7, 0, 0, 2]]
    parameters = json.loads((tmp_path / "kitti_2015" / "parameters.json").read_text())
    assert (parameters["flow_mode"], parameters["labels"], parameters["splits"]) == ("kitti", "kitti", [])


def test_cityscapes_is_indexed_by_its_folders(tmp_path):
    root = tmp_path / "cityscapes"
    for part, city in (("train", "aachen"), ("train", "Zurich"), ("val", "lindau")):
        for i in range(2):
            name = f"{part}/{city}/{city}_{i:06d}_000019"
            touch(
                root,
                f"leftImg8bit/{name}_leftImg8bit.png",
                f"gtFine/{name}_gtFine_labelIds.png",
                f"gtFine/{name}_gtFine_color.png",
                f"gtFine/{name}_gtFine_instanceIds.png",
                f"leftImg8bit_foggy/{name}_leftImg8bit_foggy_beta_0.02.png",
            )
            (root / "camera" / name).parent.mkdir(parents=True, exist_ok=True)
            camera = {"intrinsic": {"fx": 2262.5, "fy": 2265.3, "u0": 1096.9, "v0": 513.1}}
            (root / "camera" / f"{name}_camera.json").write_text(json.dumps(camera))
    specs = [LOADERS["segmentation", name] for name in ("cityscapes_train", "cityscapes_validation")]
    plain = [{sample.name: sample for sample in splits.resolve(spec, tmp_path)} for spec in specs]
    run("cityscapes", "--dataset-dir", tmp_path)
    assert [{sample.name: sample for sample in splits.resolve(spec, tmp_path)} for spec in specs] == plain
    basic = json.loads((root / "basic_files.json").read_text())
    assert basic["names"] == ["color", "segmentation", "camera_intrinsics"]
    assert [row[1:3] for row in basic["positions"][0]] == [[0, 0]] * 6  # single frames have no neighbours
    assert basic["files"][0][0].endswith("aachen_000000_000019_leftImg8bit.png")
    assert basic["numerical_values"][2][0][1] == [0.0, 2265.3, 513.1, 0.0]
    assert not (root / "test.json").exists()


def test_mistakes_are_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("IFN_DIR_DATASET", raising=False)
    with pytest.raises(UserError, match=r"kiti: no data set of that name \(closest: kitti"):
        run("kiti", "--dataset-dir", tmp_path)
    with pytest.raises(UserError, match="no data set folder; pass --dataset-dir"):
        run("kitti")
    with pytest.raises(UserError, match="cityscapes: no such folder"):
        run("cityscapes", "--dataset-dir", tmp_path)
    (tmp_path / "kitti").mkdir()
    with pytest.raises(UserError, match="no kitti_<split>_split folder with lists"):
        run("kitti", "--dataset-dir", tmp_path)
    write_list(tmp_path, "zhou", "train_files.txt", f"{drive(1)} 1 l")
    with pytest.raises(UserError, match="no left colour images where kitti has them"):
        run("kitti", "--dataset-dir", tmp_path)
    write_list(tmp_path, "zhou", "train_files.txt", "nonsense")
    with pytest.raises(UserError, match=r"train_files.txt, line 1: 'nonsense'"):
        run("kitti", "--dataset-dir", tmp_path)


def test_a_damaged_index_file_is_told(home):
    (home / "kitti_zhou_split" / "train_files.txt").unlink()
    (home / "kitti_zhou_split" / "train.json").write_text('{"names": ["color"]')
    with pytest.raises(UserError, match="train.json: damaged index file"):
        run("kitti", "--dataset-dir", home)


def test_real_recordings_give_an_index_that_resolves_as_their_lists(tmp_path):
    folder = real_data.dataset_folder(tmp_path / "data")
    spec = LOADERS["depth", "kitti_zhou_train"]
    listed = splits.resolve(spec, folder)
    run("kitti", "--dataset-dir", folder, "--out", tmp_path / "out")
    indexed = read_index(tmp_path / "out" / "kitti_zhou_split" / "train.json")
    basic = read_index(tmp_path / "out" / "kitti" / "basic_files.json")
    found = resolve_index(indexed, basic, load=["color"], video=["color"], frames=(0, -1, 1))
    root = folder / "kitti"
    for offset in (0, -1, 1):
        assert [str(root / path) for path in found["color", offset, -1]] == [each.images[offset] for each in listed]
    assert basic["camera_intrinsics"].items[0][0] == [721.5377, 0.0, 609.5593, 0.0]
