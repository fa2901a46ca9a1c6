"""The data doctor sees what would go wrong, and what looks wrong."""

import json
import re
import shutil
import struct
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dataloader import integrity
from dataloader.camera import doubts, field_of_view
from dataloader.catalog import DATASETS, LOADERS
from dataloader.check.__main__ import find_loaders, main
from dataloader.check.look import choose, median_motion
from dataloader.check.sheet import over_depth, over_labels, shrink_depth
from dataloader.prepare import __main__ as prepare
from dataloader.splits import resolve
from errors import UserError
from methods.video.own_frames import take_own_frames
from tests import real_data

DATE, DRIVE = "2011_09_26", "2011_09_26_drive_0001_sync"
HEIGHT, WIDTH = 96, 320


def scene(shift: float, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """A cloudy texture moved by some pixels."""
    rng = np.random.default_rng(7)
    noise = cv2.resize(rng.random((height // 4, width // 2), np.float32), (2 * width, height))
    moved = cv2.warpAffine(noise, np.float32([[1, 0, -shift], [0, 1, 0]]), (width, height))
    return Image.fromarray((moved * 255).astype(np.uint8)).convert("RGB")


def save_frames(folder: Path, frames: int = 5, step: float = 3.0, **size: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        scene(step * number, **size).save(folder / f"{number:010d}.png")
    return folder


def save_counts(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint16)).save(path)


@pytest.fixture
def kitti(tmp_path):
    """One drive of five frames with both cameras, depth maps of the left one, and lists."""
    for camera in ("image_02", "image_03"):
        save_frames(tmp_path / "kitti" / DATE / DRIVE / camera / "data")
    depth = np.zeros((HEIGHT, WIDTH))
    depth[40:90:4, ::3] = 256 * 12.5
    for number in range(5):
        save_counts(tmp_path / "kitti" / "Depth" / DATE / DRIVE / "image_02" / "data" / f"{number:010d}.png", depth)
    lists = tmp_path / "kitti_zhou_split"
    lists.mkdir()
    (lists / "train_files.txt").write_text("".join(f"{DATE}/{DRIVE} {i} {side}\n" for i in (1, 2, 3) for side in "lr"))
    (lists / "val_files.txt").write_text("".join(f"{DATE}/{DRIVE} {i} l\n" for i in range(5)))
    return tmp_path


@pytest.fixture
def cityscapes(tmp_path):
    """Three labelled images of one city."""
    ids = np.repeat(np.array([7, 8, 11, 23, 26, 0], np.uint8), WIDTH * HEIGHT // 6).reshape(HEIGHT, WIDTH)
    for number in range(3):
        stem = f"train/aachen/aachen_{number:06d}_000019"
        for path, picture in (
            (f"leftImg8bit/{stem}_leftImg8bit.png", scene(number)),
            (f"gtFine/{stem}_gtFine_labelIds.png", Image.fromarray(ids)),
        ):
            (tmp_path / "cityscapes" / path).parent.mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "cityscapes" / path)
    return tmp_path


def labels_of(home: Path, number: int = 0) -> Path:
    return home / "cityscapes" / "gtFine" / "train" / "aachen" / f"aachen_{number:06d}_000019_gtFine_labelIds.png"


def check(capsys, *words: object) -> tuple[int, str, str]:
    """Exit code, report and error message of the command."""
    code = main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_sound_data_are_usable_without_warnings(kitti, capsys):
    before = sorted(path for path in kitti.rglob("*"))
    code, told, error = check(capsys, "kitti_zhou_train", "kitti_zhou_validation", "--dataset-dir", kitti)
    assert (code, error) == (0, "")
    assert "WARNING" not in told
    assert told.count("verdict       usable") == 2
    assert "6 from 2 folders of 3 to 3 frames" in told
    assert "3 left, 3 right" in told
    assert "96 x 320 (6)" in told
    assert "5 of 5 (100 %) frames, kind: map" in told
    assert "12.5 to 12.5 m, median 12.5 m" in told
    assert "fx 185.6 fy 184.3 cx 160.0 cy 48.0 pixels at 96 x 320: 82 degrees wide, 29 high" in told
    motion = float(re.search(r"median ([\d.]+) pixels of 640", told)[1])
    assert abs(motion - 6.0) < 0.5  # three pixels of 320
    assert sorted(path for path in kitti.rglob("*")) == before  # nothing is written into the data folder


def test_missing_files_are_counted_and_named(kitti, capsys):
    with (kitti / "kitti_zhou_split" / "val_files.txt").open("a") as file:
        file.writelines(f"{DATE}/{DRIVE} {number} l\n" for number in range(20, 30))
    code, told, error = check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti)
    assert code == 2
    assert re.search(r"error: kitti_zhou_validation .*: 10 .*missing.*0000000020.png", error)
    assert error.count("\n") == 1
    assert "verdict       not usable" in told


def test_missing_laser_calibration_is_told(kitti, capsys):
    scan = kitti / "kitti" / DATE / DRIVE / "velodyne_points" / "data" / "0000000001.bin"
    scan.parent.mkdir(parents=True)
    scan.write_bytes(struct.pack("<4f", 5, 0, 0, 1))
    for path in (kitti / "kitti" / "Depth").rglob("*.png"):
        path.unlink()
    code, told, error = check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti)
    assert code == 2
    assert "2 files missing" in error and "calib_cam_to_cam.txt" in error
    assert "4 of 5 (80 %) frames have no ground truth" in told


def test_damaged_files_are_named(kitti, capsys):
    damaged = kitti / "kitti" / DATE / DRIVE / "image_02" / "data" / "0000000003.png"
    damaged.write_bytes(damaged.read_bytes()[:800])
    code, told, error = check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti)
    assert code == 2
    assert "1 file cannot be read" in error and "0000000003.png: cannot decode" in error
    assert told.count("0000000003.png: cannot decode") == 2  # among the lines and as the reason
    assert "(4)" in told  # the others were measured


def test_empty_files_are_found_without_decoding_and_other_damage_with_it(kitti, capsys):
    damaged = kitti / "kitti" / DATE / DRIVE / "image_02" / "data" / "0000000003.png"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti, "--images", 2)[0] == 0  # first and last
    assert check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti, "--images", 0)[0] == 2  # all
    empty = damaged.parent / "0000000002.png"
    empty.write_bytes(b"")
    integrity._sound.discard(str(empty))  # sound files are not looked at twice in one process
    code, told, error = check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti, "--images", 2)
    assert code == 2 and "0000000002.png: the file is empty" in error
    code, told, error = check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti, "--images", 0)
    assert "1 more file cannot be read" in told and "0000000003.png: cannot decode" in told


def test_the_camera_of_the_calibration_is_compared(kitti, capsys):
    focal = 0.6 * WIDTH
    projection = f"{focal} 0 160 0 0 {focal} 50 0 0 0 1 0"
    text = "".join(f"S_rect_{camera}: {WIDTH} {HEIGHT}\nP_rect_{camera}: {projection}\n" for camera in ("02", "03"))
    (kitti / "kitti" / DATE / "calib_cam_to_cam.txt").write_text(text)
    _, told, _ = check(capsys, "kitti_zhou_train", "--dataset-dir", kitti)
    assert (
        "2011_09_26 camera 2: real fx 192.0 fy 192.0 cx 160.0 cy 50.0; those in use differ by -3.3 %, -4.0 %, "
        "+0.0 and -2.0 pixels" in told
    )
    assert "2011_09_26 camera 3: " in told


def test_a_missing_right_camera_is_a_warning(kitti, capsys):
    (kitti / "kitti_zhou_split" / "train_files.txt").write_text(f"{DATE}/{DRIVE} 2 l\n{DATE}/{DRIVE} 2 l\n")
    code, told, _ = check(capsys, "kitti_zhou_train", "--dataset-dir", kitti)
    assert code == 0
    assert "no right camera" in told
    assert "1 sample listed more than once" in told


def test_frames_that_an_index_cannot_use_are_counted(kitti, capsys):
    list_path = kitti / "kitti_zhou_split" / "train_files.txt"
    list_path.write_text(list_path.read_text() + f"{DATE}/{DRIVE} 0 l\n")  # no neighbour before it
    assert prepare.main(["index", "kitti", "--dataset-dir", str(kitti)]) == 0
    code, told, _ = check(capsys, "kitti_zhou_train", "--dataset-dir", kitti)
    assert code == 0
    assert "train.json" in told
    assert "2 of 8 (25 %) entries of train.json are left out" in told


def test_a_standing_camera_and_repeated_frames_are_warnings(tmp_path, capsys):
    intrinsics = f"{0.58 * WIDTH},{1.92 * HEIGHT},160,48"
    for step, sentence in (
        (0.05, "5 of 5 (100 %) samples hardly move"),
        (0.0, "samples equal their neighbour"),
        (15.0, "samples move by more than 24 pixels"),
    ):
        folder = save_frames(tmp_path / f"step{step}" / "a", frames=7, step=step).parent
        code, told, _ = check(capsys, "folder_train", "--data-folder", folder, "--data-intrinsics", intrinsics)
        assert code == 0
        assert sentence in told


def test_own_frames_and_four_numbers_are_examined(tmp_path, capsys):
    save_frames(tmp_path / "first", frames=5)
    save_frames(tmp_path / "short", frames=2)
    good = ("folder_train", "--data-folder", tmp_path, "--data-intrinsics", "180,180,160,48")
    code, told, _ = check(capsys, *good)
    assert code == 0
    assert "7 in 2 sequences, 3 of them used" in told
    assert "1 sequence without a frame that has both neighbours: short" in told
    code, told, _ = check(capsys, *good[:-1], "90,90,80,24")  # numbers of a half-size image
    assert code == 0
    assert "would suit images of about 48 x 160; check --data-intrinsics" in told
    code, _, error = check(capsys, *good[:-1], "180,180,160")
    assert (code, "3 numbers; give fx,fy,cx,cy" in error) == (2, True)
    code, _, error = check(capsys, *good[:-1], "a,b,c,d")
    assert (code, "not numbers" in error) == (2, True)
    code, _, error = check(capsys, *good[:-1], "180,180,700,48")
    assert (code, "principal point" in error) == (2, True)
    code, _, error = check(capsys, "folder_train")
    assert (code, "pass --data-folder DIR" in error) == (2, True)
    code, _, error = check(capsys, "folder_test", "--data-folder", tmp_path, "--data-intrinsics", "180,180,160,48")
    assert (code, "has depth; put" in error, "dataloader.check" in error) == (2, True, False)


def test_numbers_of_another_unit_are_a_fault_that_says_what_they_would_be(tmp_path, capsys):
    save_frames(tmp_path, frames=3)
    code, told, error = check(
        capsys, "folder_train", "--data-folder", tmp_path, "--data-intrinsics", "0.5625,1.875,0.5,0.5"
    )
    assert code == 2 and "FAULT" in told and "not usable" in told
    assert f"{HEIGHT} x {WIDTH} (height x width), they are 180,180,160,48: give those" in error


def test_the_doctor_says_where_the_camera_is_written_and_proposes_a_network_size(tmp_path, capsys):
    save_frames(tmp_path / "a/wide", frames=5)
    (tmp_path / "a/intrinsics.txt").write_text("0.5625 1.875 0.5 0.5")
    words = ("folder_train", "--data-folder", tmp_path, "--frame-step", 2)
    code, told, _ = check(capsys, *words)
    assert code == 0 and "-2, +2 there for every sample" in told and "portrait" not in told
    assert f"(from {tmp_path}/a/intrinsics.txt, divided by width and height)" in told
    assert (
        "network size  --depth-resize-height 192 --depth-resize-width 640 has the shape of images of 96 x 320" in told
    )
    save_frames(tmp_path / "a/high", frames=7, height=256, width=144)
    (tmp_path / "a/high/intrinsics.txt").write_text("150 150 72 128")
    code, told, _ = check(capsys, *words)
    assert code == 0 and "network size  --depth-resize-height 512 --depth-resize-width 288" in told
    assert "portrait" in told and "--fit multiple" in told and "WARNING       some images are higher than wide" in told


def test_the_doctor_takes_the_frames_out_of_a_video_as_training_does(tmp_path, capsys):
    from visual.video import VideoWriter  # late: few tests of this file need it

    (tmp_path / "own").mkdir()
    with VideoWriter(tmp_path / "own/drive.mp4", 10) as writer:
        for number in range(4):
            writer.write(np.asarray(scene(3.0 * number)))
    words = ("folder_train", "--data-folder", tmp_path / "own", "--data-intrinsics", "180,180,160,48", "--cache-dir")
    code, told, _ = check(capsys, *words, tmp_path)
    assert code == 0 and "4 in 1 sequence, 2 of them used" in told
    args = Namespace(
        depth_training_loaders=("folder_train",),
        data_folder=str(tmp_path / "own"),
        data_on_missing="stop",
        checkpoint_dir=str(tmp_path),
    )
    before = sorted(tmp_path.rglob("*.png"))
    take_own_frames(args)
    assert sorted(tmp_path.rglob("*.png")) == before and len(before) == 4
    code, _, error = check(capsys, *words, "")
    assert (code, "prepare frames" in error) == (2, True)


def test_gaps_in_the_numbers_of_own_frames_are_a_warning(tmp_path, capsys):
    for name, stems in (
        ("even", ["10", "15", "20", "25"]),
        ("gap", ["1", "2", "3", "5", "9"]),
        ("stamps", ["100.2", "100.7", "101.3", "104.1"]),
        ("seconds", ["0.1", "0.15", "0.2", "0.30000000000000004"]),
    ):
        save_frames(tmp_path / name, frames=len(stems))
        for place, stem in enumerate(stems):
            (tmp_path / name / f"{place:010d}.png").rename(tmp_path / name / f"{stem}.png")
    words = ("--data-folder", tmp_path, "--data-intrinsics", "180,180,160,48")
    code, told, _ = check(capsys, "folder_train", *words)
    assert code == 0 and "17 in 4 sequences, 9 of them used" in told
    assert "1 sequence whose numbers advance unevenly: gap (by 1 to 4); the motion between neighbours differs" in told
    for name in ("even", "stamps", "seconds"):
        assert "unevenly" not in check(capsys, "folder_train", "--data-folder", tmp_path / name, *words[2:])[1]


def test_the_doctor_and_training_say_the_same_about_names_and_cameras(tmp_path, capsys):
    save_frames(tmp_path, frames=3)
    words = ("folder_train", "--data-folder", tmp_path, "--data-intrinsics")
    for numbers, told in (("1e39,180,160,48", "becomes 0 or infinite in float32"), ("nan,180,160,48", "nan, 180, 160")):
        code, _, error = check(capsys, *words, numbers)
        assert (code, told in error) == (2, True)
    for number, stem in enumerate(("f_-1", "f_0", "f_1")):
        (tmp_path / f"{number:010d}.png").rename(tmp_path / f"{stem}.png")
    code, _, error = check(capsys, *words, "180,180,160,48")
    assert (code, "as whole numbers f_-1.png = f_1.png, with minus signs" in error) == (2, True)
    with pytest.raises(UserError) as training:
        spec = LOADERS["depth", "folder_train"]
        resolve(spec, "", data_folder=str(tmp_path), data_intrinsics=(180, 180, 160, 48))
    assert str(training.value) in error


def test_doubts_about_a_measured_camera_name_the_place_it_comes_from(kitti, capsys):
    words = ("kitti_zhou_train", "--dataset-dir", kitti)
    camera = {"K": [[0.58, 0, 0.8, 0], [0, 1.92, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
    (kitti / "kitti" / "parameters.json").write_text(json.dumps(camera))
    assert (
        "far from the centre; it would suit images of about 96 x 512; check K in parameters.json"
        in check(capsys, *words)[1]
    )


def test_right_images_that_were_never_fetched_are_counted(kitti, capsys):
    shutil.rmtree(kitti / "kitti" / DATE / DRIVE / "image_03")
    code, told, _ = check(capsys, "kitti_zhou_train", "--dataset-dir", kitti)
    assert code == 0
    assert "3 left, 0 right" in told and "no right camera; training works" in told
    assert "3 of 6 (50 %) entries of train_files.txt are left out: no right camera on disk" in told


def test_depth_in_another_unit_and_of_another_size_are_warnings(tmp_path, capsys, monkeypatch):
    save_frames(tmp_path / "a")
    for number in range(5):
        millimetres = np.full((HEIGHT // 2, WIDTH // 2), 60_000, np.uint16)
        millimetres[:, ::2] = 0 if number else 60_000
        save_counts(tmp_path / "a" / "depth" / f"{number:010d}.png", millimetres * (number != 4))
    words = ("folder_test", "--data-folder", tmp_path, "--data-intrinsics", "180,180,160,48")
    code, told, _ = check(capsys, *words)
    assert code == 0
    assert "median depth of 234.38 m" in told
    assert "5 of 5 (100 %) samples whose depth and image differ in size" in told
    assert "1 depth map without any measurement: a/0000000004" in told
    monkeypatch.setitem(DATASETS, "folder", replace(DATASETS["folder"], truth_raster="own"))
    assert "differ in size" not in check(capsys, *words)[1]


def test_labels_are_examined(cityscapes, capsys):
    words = ("cityscapes_train", "--dataset-dir", cityscapes)
    code, told, _ = check(capsys, *words)
    assert code == 0 and "WARNING" not in told
    assert "5 of 19 classes seen; not seen: wall, fence" in told
    assert "16.7% of the pixels" in told
    ids = np.full((HEIGHT, WIDTH), 7, np.uint8)
    ids[0] = 77
    Image.fromarray(ids).save(labels_of(cityscapes))
    Image.fromarray(ids[::2, ::2]).save(labels_of(cityscapes, 1))
    labels_of(cityscapes, 2).unlink()
    code, told, _ = check(capsys, *words)
    assert code == 0
    assert "1 value outside the label ids: 77 (1.25% of the pixels, ignored)" in told
    assert "1 of 3 (33 %) frames have no labels" in told
    assert "1 of 2 (50 %) samples whose labels and image differ in size: aachen_000001_000019" in told


def test_training_ids_in_the_place_of_label_ids_are_suspected(cityscapes, capsys):
    for number in range(3):
        Image.fromarray(np.tile(np.arange(16, dtype=np.uint8) % 19, (HEIGHT, WIDTH // 16))).save(
            labels_of(cityscapes, number)
        )
    _, told, _ = check(capsys, "cityscapes_train", "--dataset-dir", cityscapes)
    assert "only values of training ids occur" in told


def test_poses_are_examined(kitti, capsys):
    (kitti / "kitti_odom09_split").mkdir()
    (kitti / "kitti_odom09_split" / "test_files.txt").write_text("".join(f"{DATE}/{DRIVE} {i} l\n" for i in range(4)))
    poses = np.tile(np.eye(4)[:3], (5, 1, 1))
    poses[:, 2, 3] = 1.5 * np.arange(5)
    (kitti / "kitti" / "poses").mkdir()
    path = kitti / "kitti" / "poses" / "09.txt"
    np.savetxt(path, poses.reshape(5, 12))
    code, told, _ = check(capsys, "kitti_odom09_validation", "--dataset-dir", kitti)
    assert code == 0
    assert "3, 3.0 m in all, 1.50 m per frame" in told
    np.savetxt(path, 2 * poses.reshape(5, 12))
    _, told, _ = check(capsys, "kitti_odom09_validation", "--dataset-dir", kitti)
    assert "rotations are off by up to 3.000" in told


def test_a_name_with_two_purposes_is_examined_for_both(tmp_path, capsys):
    assert [spec.purpose for spec in find_loaders(["kitti_2015_train"], "")] == ["depth", "segmentation"]
    assert [spec.purpose for spec in find_loaders(["kitti_2015_train"], "depth")] == ["depth"]
    root = tmp_path / "kitti_2015" / "training"
    save_frames(root / "image_2", frames=1)
    (root / "image_2" / "0000000000.png").rename(root / "image_2" / "000000_10.png")
    save_counts(root / "disp_occ_0" / "000000_10.png", np.full((HEIGHT, WIDTH), 256 * 10))
    (root / "calib_cam_to_cam").mkdir()
    (root / "calib_cam_to_cam" / "000000.txt").write_text("P_rect_02: 721 0 1 0 0 721 1 0 0 0 1 0\n")
    code, told, error = check(capsys, "kitti_2015_train", "--dataset-dir", tmp_path)
    assert code == 2
    assert "kitti_2015_train (depth evaluation)\n" in told and "38.9 to 38.9 m" in told
    assert "kitti_2015_train (segmentation evaluation): " in error and "(1 of 2 loaders cannot be used)" in error
    assert check(capsys, "kitti_2015_train", "--purpose", "depth", "--dataset-dir", tmp_path)[0] == 0


def test_mistakes_are_told_in_one_sentence(kitti, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("IFN_DIR_DATASET", raising=False)
    for words, sentence in (
        (["kitti_zuo_train", "--dataset-dir", kitti], "kitti_zuo_train: no such loader (closest: kitti_zhou_train"),
        (["cityscapes_validation", "--purpose", "depth"], "cityscapes_validation: no loader for depth"),
        ([","], "no loader named"),
        (["kitti_zhou_train"], "--dataset-dir: not given; pass --dataset-dir"),
        (["kitti_zhou_train", "--dataset-dir", kitti / "none"], "none: no such folder"),
        (["cityscapes_train", "--dataset-dir", kitti], "cityscapes: no such folder"),
        (
            ["kitti_benchmark_train", "--dataset-dir", kitti],
            "kitti_benchmark_split: neither train.json nor train_files.txt",
        ),
        (["kitti_zhou_train", "--images", "-1", "--dataset-dir", kitti], "--images -1: give 0"),
        (
            ["kitti_zhou_train", "--contact-sheet", "x.gif", "--dataset-dir", kitti],
            "--contact-sheet x.gif: cannot write .gif",
        ),
    ):
        code, _, error = check(capsys, *words)
        assert code == 2 and error.startswith("error: ") and error.count("\n") == 1
        assert sentence in error
    (kitti / "kitti_zhou_split" / "val_files.txt").write_text("")
    code, _, error = check(capsys, "kitti_zhou_validation", "--dataset-dir", kitti)
    assert code == 2 and "the list is empty" in error
    with pytest.raises(UserError, match="no such loader"):
        find_loaders(["kitti_zhou"], "")


def test_the_contact_sheet_shows_truth_and_neighbours(kitti, cityscapes, capsys):
    path = kitti / "out" / "sheet.png"
    code, told, _ = check(
        capsys,
        "kitti_zhou_train",
        "kitti_zhou_validation",
        "cityscapes_train",
        "--dataset-dir",
        kitti,
        "--contact-sheet",
        path,
    )
    assert code == 0 and f"contact sheet: {path}" in told
    with Image.open(path) as image:
        sheet = np.asarray(image.convert("RGB")).astype(int)
    assert sheet.shape[1] == 3 * 640 + 2 * 8
    rows = 3 * 26 + (6 + 5 + 3) * (26 + 192)  # titles, then names and tiles
    assert sheet.shape[0] == rows
    saturated = (sheet.max(2) - sheet.min(2) > 60).mean(1)
    assert saturated[26:1300].max() == 0  # neighbours are grey
    assert saturated[26 + 6 * 218 + 100 : 26 + 11 * 218].max() > 0.1  # depth and classes are coloured
    assert saturated[-150:].max() > 0.1
    (kitti / "file").write_text("")
    code, _, error = check(
        capsys, "kitti_zhou_train", "--dataset-dir", kitti, "--contact-sheet", kitti / "file" / "x.png"
    )
    assert code == 2 and "--contact-sheet" in error and "cannot write" in error


def test_truth_lies_where_it_was_measured():
    depth = np.zeros((100, 200), np.float32)
    depth[50, 100], depth[50, 101] = 20, 5
    small = shrink_depth(depth, (50, 100))
    rows, columns = small.nonzero()
    assert set(small[small > 0]) == {5.0}  # the nearer point is seen
    assert abs(rows.mean() - 25) <= 0.5 and abs(columns.mean() - 50) <= 0.5
    assert not shrink_depth(np.zeros((10, 10), np.float32), (5, 5)).any()
    grey = np.full((50, 100, 3), 100, np.uint8)
    overlay = over_depth(grey, depth)
    assert (overlay[0, 0] == 50).all() and not (overlay[25, 50] == 50).all()
    road = over_labels(grey, np.zeros((100, 200), np.uint8))
    assert (road[0, 0] == (0.55 * np.array([128, 64, 128]) + 45).astype(int)).all()


@pytest.mark.parametrize(
    ("intrinsics", "size", "words"),
    [
        ((0.58, 1.92, 0.5, 0.5), (375, 1242), ""),
        ((1.10, 2.21, 0.5, 0.5), (1024, 2048), ""),
        ((0.49, 1.63, 0.49, 0.46), (375, 1242), ""),
        ((0.58, 1.92, 0.5, 0.5), (512, 1024), "fx/fy is 0.60"),
        ((1.92, 0.58, 0.5, 0.5), (375, 1242), "fx/fy is 10.96"),
        ((5.8, 19.2, 0.5, 0.5), (375, 1242), "horizontal field of view of 10 degrees"),
        ((0.05, 0.17, 0.5, 0.5), (375, 1242), "horizontal field of view of 169 degrees"),
        ((0.29, 0.96, 0.25, 0.25), (384, 1280), "would suit images of about 192 x 640"),
        ((0.70, 2.25, 0.595, 0.54), (320, 1024), "would suit images of about 346 x 1219"),
        ((0.59, 2.05, 0.49, 0.426), (352, 1216), ""),
    ],
)
def test_implausible_cameras_are_doubted(intrinsics, size, words):
    found = doubts(intrinsics, size)
    assert (not found and not words) or any(words in doubt for doubt in found if words)


def test_field_of_view_is_that_of_a_pinhole():
    assert abs(field_of_view(0.5) - 90) < 1e-9


def test_samples_are_spread_over_the_set():
    assert choose(100, 5) == [0, 25, 50, 74, 99]
    assert choose(3, 20) == choose(3, 0) == [0, 1, 2]
    assert choose(7, 1) == [0]


def test_motion_is_that_of_the_picture():
    first, second = (np.asarray(scene(shift).convert("L")) for shift in (0, 4))
    assert abs(median_motion(first, second) - 4) < 0.1
    assert median_motion(np.zeros((60, 80), np.uint8), np.zeros((60, 80), np.uint8)) is None


def test_help_answers_without_torch():
    code = "import sys, runpy; sys.argv = ['check', '--help']"
    code += "\ntry: runpy.run_module('dataloader.check', run_name='__main__')"
    code += "\nexcept SystemExit as stop: assert stop.code in (0, None)\nassert not {'torch', 'cv2'} & set(sys.modules)"
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "folder_train" in result.stdout and "--contact-sheet" in result.stdout


def test_real_recordings_are_usable(tmp_path, capsys):
    folder = real_data.dataset_folder(tmp_path / "data")
    code, told, _ = check(
        capsys,
        "kitti_zhou_train",
        "kitti_zhou_test",
        "cityscapes_train",
        "--images",
        4,
        "--dataset-dir",
        folder,
        "--contact-sheet",
        tmp_path / "sheet.jpg",
    )
    assert code == 0
    assert "375 x 1242 (4)" in told and "1024 x 2048 (4)" in told
    assert "camera 2: real fx 721.5 fy 721.5 cx 609.6 cy 172.9" in told
    assert "20 of 20 (100 %) frames, kind: velodyne" in told
    coverage = float(re.search(r"([\d.]+)% of the pixels measured", told)[1])
    assert 2 < coverage < 6
    assert (tmp_path / "sheet.jpg").stat().st_size > 10_000
    train = folder / "kitti_zhou_split" / "train_files.txt"
    train.write_text("".join(f"{DATE}/2011_09_26_drive_0052_sync {number} l\n" for number in range(55, 59)))
    _, told, _ = check(capsys, "kitti_zhou_train", "--dataset-dir", folder)
    assert "hardly move" in told


def test_published_parameters_are_used(kitti, capsys):
    matrix = [[0.3, 0, 0.5, 0], [0, 1.0, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    (kitti / "kitti" / "parameters.json").write_text(json.dumps({"K": matrix}))
    _, told, _ = check(capsys, "kitti_zhou_train", "--dataset-dir", kitti)
    assert "fx 96.0 fy 96.0" in told
