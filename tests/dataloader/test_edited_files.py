"""Files that an editor of Windows has saved are the files they were."""

import json
from pathlib import Path

import pytest

from dataloader.catalog import find_loader
from dataloader.files import read_depth
from dataloader.prepare import __main__ as prepare
from dataloader.prepare.kitti import split_drives
from dataloader.prepare.values import cityscapes_values, kitti_values
from dataloader.splits import resolve
from errors import UserError
from evaluation.tables import METRICS_FILE, read_metrics
from presets.files import read_file
from tests.dataloader import test_kitti_2015, test_odometry, tiny

TEXT = (".txt", ".json")
ZHOU = find_loader("depth", "kitti_zhou_test")


def edit(root: Path) -> Path:
    """Saves all text with a byte order mark and line ends of Windows."""
    for path in root.rglob("*"):
        if path.suffix in TEXT:
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    return root


def found(samples: list) -> list:
    return [
        (each.name, each.intrinsics, None if each.depth is None else read_depth(each.depth).tolist())
        for each in samples
    ]


@pytest.mark.parametrize("index", [False, True])
def test_lists_index_files_calibration_and_parameters_of_kitti(tmp_path, index, capsys):
    root = tiny.kitti(tmp_path)
    camera = {"K": [[0.6, 0, 0.4, 0], [0, 2, 0.45, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}
    (root / "kitti/parameters.json").write_text(json.dumps(camera, indent=1))
    if index:
        assert prepare.main(["index", "kitti", "--dataset-dir", str(root)]) == 0
    loaders = (ZHOU, find_loader("depth", "kitti_zhou_train", training=True))
    before = [found(resolve(loader, root)) for loader in loaders]
    drives = split_drives(root, ["zhou"])
    edit(root)
    assert [found(resolve(loader, root)) for loader in loaders] == before
    assert split_drives(root, ["zhou"]) == drives


def test_calibration_of_kitti_2015(tmp_path):
    before = found(resolve(test_kitti_2015.DEPTH, test_kitti_2015.download(tmp_path)))
    assert found(resolve(test_kitti_2015.DEPTH, edit(tmp_path))) == before


def test_poses(tmp_path):
    tiny.kitti_images(tmp_path / "kitti", cameras=(2,))
    tiny.drive_list(tmp_path, "odom09", "test_files.txt", range(6))
    test_odometry.poses(tmp_path, 6)
    before = [sample.pose.tolist() for sample in resolve(test_odometry.LOADER, tmp_path)]
    assert [sample.pose.tolist() for sample in resolve(test_odometry.LOADER, edit(tmp_path))] == before


def test_what_lies_beside_the_images(tmp_path):
    drive = tmp_path / tiny.DRIVE
    image = f"{tiny.DRIVE}/image_02/data/0000000000.png"
    tiny.kitti_calibration(tmp_path / tiny.DATE)
    for name, text in (
        ("image_02/timestamps.txt", "2011-09-26 13:02:25.5\n"),
        ("oxts/data/0000000000.txt", " ".join(map(str, range(30))) + "\n"),
    ):
        (drive / name).parent.mkdir(parents=True, exist_ok=True)
        (drive / name).write_text(text)
    left = {(tiny.DRIVE, 0): image}
    before = kitti_values(tmp_path, left, {}, {})
    assert [each.name for each in before if each.of] == ["camera_intrinsics", "timestamp", "velocity"]
    assert kitti_values(edit(tmp_path), left, {}, {}) == before


def test_cameras_of_cityscapes(tmp_path):
    image, key = "leftImg8bit/val/a/a_000000_000019_leftImg8bit.JPG", ("val/a/a_000000", 19)
    path = tmp_path / "camera/val/a/a_000000_000019_camera.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"intrinsic": {"fx": 2262.5, "fy": 2265.3, "u0": 1096, "v0": 513.1}}))
    (values,) = cityscapes_values(edit(tmp_path), {key: image})
    assert values.of[key][0] == [2262.5, 0, 1096, 0]


@pytest.mark.parametrize("fx", ["1e39", "0", "1e-46", "Infinity", "NaN"])
def test_a_camera_of_cityscapes_beyond_float32_is_refused(tmp_path, fx):
    image, key = "leftImg8bit/val/a/a_000000_000019_leftImg8bit.png", ("val/a/a_000000", 19)
    path = tmp_path / "camera/val/a/a_000000_000019_camera.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"intrinsic": {"fx": FX, "fy": 2265, "u0": 1096, "v0": 513}}'.replace("FX", fx))
    with pytest.raises(UserError, match=r"camera\.json: \S+ becomes 0 or infinite in float32"):
        cityscapes_values(tmp_path, {key: image})


@pytest.mark.parametrize(
    ("name", "content"),
    [("opt.json", '{"sys_seed": 3}\n'), ("OPT.JSON", '{"sys_seed": 3}\n'), ("a.toml", "sys_seed = 3\n")],
)
def test_presets(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode())
    assert read_file(str(path)) == {"sys_seed": 3}


def test_metrics(tmp_path):
    (tmp_path / METRICS_FILE).write_text('{"a": {\n}}')
    assert read_metrics(edit(tmp_path)) == {"a": {}}
