"""DDAD: real samples, damaged descriptions, and pairs that others exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.catalog import find_loader
from dataloader.check.doctor import Options, examine
from dataloader.files import read_depth
from dataloader.loaders import build_evaluation
from dataloader.samples import DepthSource
from dataloader.splits import resolve
from dataloader.velodyne import project_cloud
from errors import UserError
from evaluation.protocols import DEPTH_PROTOCOLS
from tests import real_data
from tests.dataloader import tiny

VALIDATION = find_loader("depth", "ddad_validation")
SIZE = (24, 80)


def scene(root: Path, name: str = "000150", count: int = 2) -> Path:
    """A scene of `count` samples: the scanner looks along x from 1 m behind the camera, which looks along its z."""
    turned = {"qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}  # z of the camera is x of the world, x is -y
    straight = {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}
    data, samples = [], []
    folder = root / f"ddad/{name}"
    for number in range(count):
        image, scan = f"rgb/CAMERA_01/{number}.png", f"point_cloud/LIDAR/{number}.npz"
        tiny.save(folder / image, tiny.picture(number, SIZE))
        (folder / scan).parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / scan, data=np.array([[11.0 + number, 0, 0, 1], [51, 0, 0, 1], [-9, 0, 0, 1]]))
        for sensor, kind, entry in (
            ("CAMERA_01", "image", {"filename": image, "height": SIZE[0], "width": SIZE[1]}),
            ("LIDAR", "point_cloud", {"filename": scan}),
        ):
            at = {"x": 100.0 + (sensor == "CAMERA_01"), "y": 7.0, "z": 3.0}
            pose = {"rotation": turned if sensor == "CAMERA_01" else straight, "translation": at}
            key = f"{sensor}{number}"
            data.append({"key": key, "id": {"name": sensor}, "datum": {kind: {**entry, "pose": pose}}})
        keys = [f"CAMERA_01{number}", f"LIDAR{number}", "unknown"]
        samples.append({"calibration_key": "c", "datum_keys": keys})
    (folder / "scene_0.json").write_text(json.dumps({"data": data, "samples": samples}))
    camera = {"fx": 40.0, "fy": 40.0, "cx": 40.5, "cy": 12.5, "skew": 0.0}
    (folder / "calibration").mkdir()
    (folder / "calibration/c.json").write_text(
        json.dumps({"names": ["LIDAR", "CAMERA_01"], "intrinsics": [{}, camera], "extrinsics": [{}, {}]})
    )
    return folder


def index(root: Path, names: list[str]) -> None:
    splits = {"0": {"filenames": []}, "1": {"filenames": [f"{name}/scene_0.json" for name in names]}}
    (root / "ddad/ddad.json").write_text(json.dumps({"scene_splits": splits}))


@pytest.fixture
def root(tmp_path) -> Path:
    scene(tmp_path, "000151")
    scene(tmp_path, "000150", 1)
    index(tmp_path, ["000151", "000150"])
    return tmp_path


def test_points_land_where_the_camera_sees_them(root):
    samples = resolve(VALIDATION, root)
    names = ["000151/rgb/CAMERA_01/0", "000151/rgb/CAMERA_01/1", "000150/rgb/CAMERA_01/0"]
    assert [sample.name for sample in samples] == names  # in the order of ddad.json
    assert samples[0].intrinsics == pytest.approx((0.5, 40 / 24, 40.5 / 80, 12.5 / 24)) and samples[0].measured
    depth = read_depth(samples[1].depth)
    assert depth.dtype == np.float32 and np.argwhere(depth).tolist() == [[12, 40]]
    assert depth[12, 40] == pytest.approx(11, rel=1e-6)  # the nearer of two, and not the one behind


def test_a_place_on_the_border_of_a_pixel_belongs_to_it_and_beyond_the_image_to_none():
    matrix = np.hstack([np.eye(3), np.zeros((3, 1))])
    points = np.array([[0, 0, 1], [2.99, 1.99, 1], [3, 0, 1], [-0.1, 0, 1], [1, 1, -1], [1, 1, 0]])
    assert project_cloud(points, matrix, (2, 3)).tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("folder", ["ddad/ddad_train_val", "ddad_train_val"])
def test_the_folder_of_the_archive_may_stay(root, folder):
    (root / "ddad").rename(root / "moved")
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "moved").rename(root / folder)
    assert len(resolve(VALIDATION, root)) == 3


def test_without_a_scan_there_is_no_truth_and_without_an_image_no_sample(root):
    shutil.rmtree(root / "ddad/000151/point_cloud")
    assert [sample.depth is None for sample in resolve(VALIDATION, root)] == [True, True, False]
    (root / "ddad/000151/rgb/CAMERA_01/1.png").unlink()
    with pytest.raises(UserError, match=r"ddad\.json: 1 missing file: .*000151/rgb/CAMERA_01/1\.png"):
        resolve(VALIDATION, root)
    index(root, ["000151", "000199"])
    with pytest.raises(UserError, match=r"2 missing files: .*000199/scene_0\.json"):
        resolve(VALIDATION, root)
    assert len(resolve(VALIDATION, root, drop=True)) == 1


@pytest.mark.parametrize(
    "name, change",
    [
        ("ddad.json", lambda stored: stored.pop("scene_splits")),
        ("ddad.json", lambda stored: stored["scene_splits"].update({"1": 3})),
        ("000151/scene_0.json", lambda stored: stored.update(samples=3)),
        ("000151/scene_0.json", lambda stored: stored["data"][0].pop("key")),
        ("000151/scene_0.json", lambda stored: stored["samples"][0].update(datum_keys=[[1]])),
        ("000151/scene_0.json", lambda stored: stored["data"][0]["datum"]["image"].update(height="tall")),
        ("000151/scene_0.json", lambda stored: stored["data"][0]["datum"]["image"].update(width=0)),
        (
            "000151/scene_0.json",
            lambda stored: stored["data"][1]["datum"]["point_cloud"]["pose"]["rotation"].update(qw=9),
        ),
        ("000151/scene_0.json", lambda stored: stored["data"][1]["datum"]["point_cloud"].pop("pose")),
        ("000151/calibration/c.json", lambda stored: stored.update(names=["LIDAR"])),
        ("000151/calibration/c.json", lambda stored: stored["intrinsics"][1].update(fx=float("nan"))),
        ("000151/calibration/c.json", lambda stored: stored.pop("intrinsics")),
    ],
)
def test_a_damaged_description_is_named(root, name, change):
    path = root / "ddad" / name
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=rf"{name}: .*; fetch it again"):
        resolve(VALIDATION, root)


def test_scenes_outside_the_folder_are_not_read(root):
    index(root, ["../ddad/000151"])
    with pytest.raises(UserError, match="1 missing file"):
        resolve(VALIDATION, root)


@pytest.mark.parametrize("content", [b"PK", b"", "no points", "objects"])
def test_a_damaged_scan_is_named(tmp_path, content):
    path = tmp_path / "scan.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, data=np.zeros(3) if content == "no points" else np.array([{}], object))
    with pytest.raises(UserError, match=r"scan\.npz: "):
        read_depth(DepthSource("lidar", str(path), matrix=(1.0,) * 12, size=SIZE))


def test_exported_pairs_are_read_where_there_is_no_index(tmp_path):
    for folder in ("ddad", "ddad/val"):
        tiny.save(tmp_path / folder / "000001_rgb.png", tiny.picture(1, SIZE))
        np.save(tmp_path / folder / "000001_depth.npy", np.full(SIZE, 7, np.float32))
    tiny.save(tmp_path / "ddad/000002_rgb.png", tiny.picture(2, SIZE))
    samples = resolve(VALIDATION, tmp_path)
    assert [(sample.name, sample.depth is None) for sample in samples] == [
        ("000001", False),
        ("000002", True),
        ("val/000001", False),
    ]
    report, _ = examine(VALIDATION, Options(dataset_dir=str(tmp_path)))
    assert not report.faults and "intrinsics" not in str(report)


@pytest.mark.parametrize("there", [False, True])
def test_nothing_there_says_what_to_unpack(tmp_path, there):
    if there:
        (tmp_path / "ddad").mkdir()
    with pytest.raises(UserError, match="ddad: (no such folder|neither ddad.json nor)"):
        resolve(VALIDATION, tmp_path)


def test_the_range_reaches_to_200_metres():
    depth = np.array([[1e-3, 0.5, 199, 200]], np.float32)
    assert DEPTH_PROTOCOLS["ddad"].valid(depth).tolist() == [[False, True, True, False]]


def test_real_scans_lie_on_the_road(tmp_path):
    (tmp_path / "ddad").symlink_to(real_data.root() / "ddad_mini", target_is_directory=True)
    (data,) = build_evaluation(tiny.options(tmp_path, depth_validation_loaders=("ddad_validation",)), "depth")
    assert len(data.samples) == 3 and data.skipped == 0
    truth = next(iter(data)).truth[0]
    assert truth.depth.shape == truth.image.shape[:2] == (1216, 1936)
    assert 3000 < np.count_nonzero(truth.depth) < 60000 and 100 < truth.depth.max() < 250
    fx, fy, cx, cy = data.samples[0].intrinsics
    rows, columns = np.nonzero(truth.depth)
    distance = truth.depth[rows, columns]
    road = (rows > 1000) & (abs(columns - cx * 1936) < 300)  # below the car ahead
    height = distance[road] * (rows[road] - cy * 1216) / (fy * 1216)
    assert np.median(height) == pytest.approx(1.42, abs=0.05) and np.std(height) < 0.05
    report, tiles = examine(VALIDATION, Options(dataset_dir=str(tmp_path)), tiles=True)
    assert not report.faults and tiles and isinstance(Image.fromarray(tiles[0].images[0]), Image.Image)
