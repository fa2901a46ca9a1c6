"""The folder a run writes: layouts, determinism, continuation, refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from errors import UserError
from street import write_dataset
from street.camera import BASELINE
from street.plan import Drive, Recipe, Street, plan
from street.scene import draw_scene

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"drives": 1, "frames": 3, "height": 32, "width": 64, "seed": 7}
DATE = "2011_09_26"


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def a_few(recipe: Recipe) -> tuple[list[Drive], list[Street]]:
    """Of a plan one drive to train with, one to validate with, a sequence as short as they are, and two streets."""
    drives, streets = plan(recipe)
    return [*drives[:2], replace(drives[-1], frames=recipe.frames)], streets[:2]


def plan_a_few() -> None:
    """Before a command: what it renders is `a_few`."""
    pytest.MonkeyPatch().setattr("street.dataset.plan", a_few)


@pytest.fixture
def few(monkeypatch) -> None:
    """What is rendered is `a_few`."""
    monkeypatch.setattr("street.dataset.plan", a_few)


@pytest.fixture(scope="module")
def few_made(tmp_path_factory) -> Path:
    """A folder with `a_few`, read only."""
    folder = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("street.dataset.plan", a_few)
        write_dataset(folder, **SMALL)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("street")
    write_dataset(folder, **SMALL)
    return folder


def read_calibration(path: Path) -> dict[str, np.ndarray]:
    rows = (line.split(": ") for line in path.read_text().splitlines())
    return {key: np.array([float(value) for value in text.split()]) for key, text in rows if key != "calib_time"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dataloader.prepare", "synthetic", *arguments]


@pytest.mark.usefixtures("few")
def test_same_bytes_for_any_number_of_workers(few_made, tmp_path):
    write_dataset(tmp_path, **SMALL, workers=3)
    assert digest(tmp_path) == digest(few_made)


@pytest.mark.usefixtures("few")
def test_another_seed_makes_another_street(few_made, tmp_path):
    write_dataset(tmp_path, **{**SMALL, "seed": 8})
    drive = f"kitti/{DATE}/{DATE}_drive_1001_sync/image_02/data/0000000001.png"
    assert (tmp_path / drive).read_bytes() != (few_made / drive).read_bytes()


@pytest.mark.usefixtures("few")
def test_more_frames_leave_the_earlier_ones_alone(few_made, tmp_path):
    write_dataset(tmp_path, **{**SMALL, "frames": 4})
    for part in (f"kitti/{DATE}/{DATE}_drive_1001_sync", f"kitti/Depth_improved/{DATE}/{DATE}_drive_1001_sync"):
        before, after = digest(few_made / part), digest(tmp_path / part)
        kept = {name for name in before if "timestamps" not in name}
        assert kept and {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_every_part_has_its_files(made):
    drives, streets = plan(Recipe(**SMALL))
    sensors = (("image_02", ".png"), ("image_03", ".png"), ("velodyne_points", ".bin"), ("oxts", ".txt"))
    assert [drive.part for drive in drives] == ["train", "val", "val", "test", "test", "09", "10"]
    for drive in drives:
        folder = made / "kitti" / DATE / drive.name
        for sensor, ending in sensors:
            names = sorted(path.name for path in (folder / sensor / "data").iterdir())
            assert names == [f"{frame:010d}{ending}" for frame in range(drive.frames)]
            assert len((folder / sensor / "timestamps.txt").read_text().splitlines()) == drive.frames
    for street in streets:
        for kind, name in (
            ("leftImg8bit", "leftImg8bit.png"),
            ("gtFine", "gtFine_labelIds.png"),
            ("camera", "camera.json"),
        ):
            assert (made / "cityscapes" / kind / street.part / street.city / f"{street.stem}_{name}").is_file()
    counts = json.loads((made / "synthetic.json").read_text())["files"]
    assert sum(counts.values()) == len(digest(made)) - 1


def test_pictures_have_their_sizes_and_types(made):
    drive = f"{DATE}/{DATE}_drive_1001_sync"
    image = cv2.imread(str(made / "kitti" / drive / "image_03/data/0000000000.png"), cv2.IMREAD_UNCHANGED)
    assert image.shape == (32, 64, 3) and image.dtype == np.uint8
    depth_file = made / "kitti/Depth_improved" / drive / "image_02/data/0000000000.png"
    depth = cv2.imread(str(depth_file), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (32, 64) and depth.dtype == np.uint16 and depth.max() > 2560
    city = made / "cityscapes/gtFine/train/ahrendorf/ahrendorf_000000_000019_gtFine_labelIds.png"
    labels = cv2.imread(str(city), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (48, 96) and labels.dtype == np.uint8 and {7, 23} <= set(labels.ravel().tolist())
    camera = json.loads((made / "cityscapes/camera/train/ahrendorf/ahrendorf_000000_000019_camera.json").read_text())
    assert camera["intrinsic"] == {"fx": 1.10 * 96, "fy": 2.21 * 48, "u0": 48, "v0": 24}
    assert camera["extrinsic"]["baseline"] == 0.22


def test_calibration_describes_the_camera(made):
    calibration = read_calibration(made / "kitti" / DATE / "calib_cam_to_cam.txt")
    left, right = (calibration[f"P_rect_0{number}"].reshape(3, 4) for number in (2, 3))
    np.testing.assert_allclose(left, [[0.58 * 64, 0, 32, 0], [0, 1.92 * 32, 16, 0], [0, 0, 1, 0]])
    assert right[0, 3] == pytest.approx(-BASELINE * 0.58 * 64)
    np.testing.assert_array_equal(calibration["S_rect_02"], [64, 32])
    scanner = read_calibration(made / "kitti" / DATE / "calib_velo_to_cam.txt")
    np.testing.assert_array_equal(scanner["R"].reshape(3, 3) @ [1, 0, 0], [0, 0, 1])
    np.testing.assert_array_equal(scanner["T"], [0, -0.08, -0.27])


def test_split_lists_leave_out_frames_without_neighbours(made):
    lines = (made / "kitti_zhou_split/train_files.txt").read_text().splitlines()
    assert lines == [f"{DATE}/{DATE}_drive_1001_sync 1 {side}" for side in "lr"]
    validation, test = ((made / f"kitti_kitti_split/{part}_files.txt").read_text() for part in ("val", "test"))
    assert validation.splitlines() == [f"{DATE}/{DATE}_drive_{number}_sync 1 l" for number in (1002, 1003)]
    assert test.splitlines() == [f"{DATE}/{DATE}_drive_{number}_sync 1 l" for number in (1004, 1005)]
    annotated = (made / "kitti_annotated_split/test_files.txt").read_text().splitlines()
    drive = f"{DATE}_drive_1004_sync"
    assert len(annotated) == 2 * 3
    assert annotated[0] == (
        f"{DATE}/{drive}/image_02/data/0000000000.png {drive}/proj_depth/groundtruth/image_02/0000000000.png"
    )
    odometry = (made / "kitti_odom10_split/test_files.txt").read_text().splitlines()
    assert odometry == [f"{DATE}/{DATE}_drive_1007_sync {frame} l" for frame in range(14)]


def test_odometry_poses_chain_to_the_motion_of_the_renderer(made):
    drives, _ = plan(Recipe(**SMALL))
    for drive in drives[-2:]:
        rows = np.loadtxt(made / "kitti/poses" / f"{drive.part}.txt")
        assert rows.shape == (drive.frames, 12)
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        poses[:, :3] = rows.reshape(-1, 3, 4)
        np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-9)
        ride = drive.draw(SMALL["seed"]).ride
        for frame in range(drive.frames - 1):
            here, there = ride.pose(frame).matrix(), ride.pose(frame + 1).matrix()
            chained = np.linalg.inv(poses[frame]) @ poses[frame + 1]
            np.testing.assert_allclose(chained, np.linalg.inv(here) @ there, atol=1e-6)
    assert abs(draw_scene(SMALL["seed"], drives[-1].scene, curved=True).road.arc.bend) > 1 / 111


def test_inertial_records_follow_the_poses(made):
    scene = draw_scene(SMALL["seed"], 0)
    data = made / "kitti" / DATE / f"{DATE}_drive_1001_sync/oxts/data"
    records = np.array([np.loadtxt(data / f"{frame:010d}.txt") for frame in range(3)])
    assert records.shape == (3, 30)
    scale = np.cos(np.radians(49)) * 6378137
    east, north = scale * np.radians(records[:, 1]), scale * np.log(np.tan(np.radians(90 + records[:, 0]) / 2))
    poses = [scene.ride.pose(frame) for frame in range(3)]
    # Speed is per tenth of a second; the unit sits a metre behind the camera, so turning adds a little.
    moved = np.hypot(np.diff(east), np.diff(north))
    np.testing.assert_allclose(moved, records[:2, 8] / 10, atol=0.01)
    np.testing.assert_allclose(np.cos(records[:, 5]), [np.sin(pose.yaw) for pose in poses], atol=1e-9)


@pytest.mark.usefixtures("few")
def test_finished_drives_are_kept_and_missing_ones_made_again(few_made, tmp_path):
    shutil.copytree(few_made, tmp_path, dirs_exist_ok=True)
    before = digest(tmp_path)
    kept = tmp_path / "kitti" / DATE / f"{DATE}_drive_1001_sync/image_02/data/0000000000.png"
    stamp = kept.stat().st_mtime_ns
    removed = tmp_path / "kitti" / DATE / f"{DATE}_drive_1002_sync"
    removed.rename(removed.with_name(f".{removed.name}.tmp"))  # as if the first run had been killed there
    write_dataset(tmp_path, **SMALL)
    assert digest(tmp_path) == before
    assert kept.stat().st_mtime_ns == stamp


def test_a_folder_with_another_recipe_or_other_data_is_refused(made, tmp_path):
    with pytest.raises(UserError, match="holds a data set made with"):
        write_dataset(made, **{**SMALL, "height": 64})
    (tmp_path / "kitti").mkdir()
    with pytest.raises(UserError, match="no synthetic.json"):
        write_dataset(tmp_path, **SMALL)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be used"):
        write_dataset(tmp_path / "file", **SMALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [("drives", 0), ("frames", 2), ("frames", 100000), ("height", 16), ("width", 0), ("seed", -1), ("workers", 0)],
)
def test_options_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(UserError, match=f"--{name} {value}"):
        write_dataset(tmp_path / "new", **{**SMALL, name: value})
    assert not (tmp_path / "new").exists()


def test_the_command_reports_mistakes_in_one_sentence(tmp_path, run):
    result = run("-m", "dataloader.prepare", "synthetic", "--out", tmp_path, "--frames", 1)
    assert result.returncode == 2
    assert result.stderr.startswith("error: --frames 1") and result.stderr.count("\n") == 1


def test_the_command_shows_progress_on_stderr(few_made, tmp_path, run):
    options = [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
    done = run("-m", "dataloader.prepare", "synthetic", "--out", tmp_path, *options, before=plan_a_few)
    assert done.returncode == 0 and "100%" in done.stderr and done.stdout == ""
    assert digest(tmp_path) == digest(few_made)


def test_help_is_quick_and_loads_no_array_library():
    start = time.perf_counter()
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *command("--help")[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0 and "--drives" in run.stdout
    assert "numpy" not in run.stderr and "cv2" not in run.stderr and "torch" not in run.stderr
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_no_half_drive(tmp_path, number, code):
    process = subprocess.Popen(
        command("--out", str(tmp_path), "--height", "64", "--width", "128", "--workers", "2"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    date = tmp_path / "kitti" / DATE
    deadline = time.monotonic() + 60
    while not list(date.glob(".*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    for drive in date.glob("*_sync"):
        assert (drive / "oxts/timestamps.txt").exists()
