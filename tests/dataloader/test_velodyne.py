"""Laser scans to depth maps."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dataloader import velodyne
from dataloader.calibration import calibration_entry, focal_length
from dataloader.files import metres_to_counts, read_depth
from dataloader.samples import DepthSource
from errors import UserError
from tests import golden
from tests.dataloader import tiny


def test_projected_scan_matches_the_published_code(tmp_path):
    meta, want = golden.load("sgdepth_kitti_depth")
    given = meta["inputs"]
    for name in (velodyne.CAMERA_FILE, velodyne.SCANNER_FILE):
        (tmp_path / name).write_text("".join(f"{key}: {values}\n" for key, values in given[name].items()))
    u = golden.uniform(1700, 1500, 4)
    points = np.stack([60 * u[:, 0] - 5, 40 * (u[:, 1] - 0.5), 10 * (u[:, 2] - 0.5), u[:, 3]], 1).astype(np.float32)
    points.tofile(tmp_path / "scan.bin")
    matrix, size = velodyne.scanner_to_image(tmp_path, given["camera"])
    assert list(size) == given["image size"]
    depth = velodyne.project(velodyne.read_scan(tmp_path / "scan.bin"), matrix, size)
    np.testing.assert_allclose(depth, want["depth"], rtol=1e-12, atol=1e-12)
    assert np.array_equal(metres_to_counts(depth), want["png"])


@pytest.mark.parametrize("camera", [2, 3])
def test_the_export_of_monodepth2_is_matched_pixel_by_pixel(tmp_path, camera):
    _, want = golden.load("kitti_velodyne_projection")
    for name, content in ((velodyne.CAMERA_FILE, "calib_cam_to_cam"), (velodyne.SCANNER_FILE, "calib_velo_to_cam")):
        (tmp_path / name).write_bytes(want[content].tobytes())
    (tmp_path / "scan.bin").write_bytes(want["bin"].tobytes())
    given = DepthSource(
        "velodyne", str(tmp_path / "scan.bin"), "forward", calibration=str(tmp_path), camera=camera, cache="unused"
    )
    found = read_depth(given)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, want[f"depth_cam{camera}_velox"])
    released = want[f"released_cam{camera}_velox"]
    assert np.array_equal(found[:, 1:-1], released[:, 1:-1])
    if camera == 2:
        matrix, size = velodyne.scanner_to_image(tmp_path, camera)
        along = velodyne.project(velodyne.read_scan(tmp_path / "scan.bin"), matrix, size)
        np.testing.assert_allclose(along, want["released_cam2_camz"], rtol=1e-6)
        np.testing.assert_allclose(along[:, 1:-1], want["depth_cam2_camz"][:, 1:-1], rtol=1e-6)


def project(points: list[tuple[float, float, float]], folder: Path, camera: int = 2) -> np.ndarray:
    tiny.kitti_calibration(folder)
    matrix, size = velodyne.scanner_to_image(folder, camera)
    return velodyne.project(np.array([(*point, 0.9) for point in points], np.float32).reshape(-1, 4), matrix, size)


def test_a_point_lands_one_pixel_before_its_rounded_place(tmp_path):
    depth = project([(10, 1.0, 0.5)], tmp_path)  # u = 40 - 40 * 0.1 = 36, v = 12 - 40 * 0.05 = 10
    assert np.argwhere(depth).tolist() == [[9, 35]]
    assert depth[9, 35] == pytest.approx(10)


def test_the_nearest_of_several_points_counts(tmp_path):
    depth = project([(20, 2.0, 1.0), (10, 1.0, 0.5), (30, 3.0, 1.5)], tmp_path)
    assert depth[9, 35] == pytest.approx(10)
    assert np.count_nonzero(depth) == 1


def test_the_last_column_shares_its_group_with_the_next_row(tmp_path):
    height, width = tiny.SIZE
    far = (20, (40 - width) * 0.5, (12 - 5) * 0.5)  # column 79, row 4
    near = (10, (40 - 1) * 0.25, (12 - 6) * 0.25)  # column 0, row 5
    depth = project([far, near], tmp_path)
    assert depth[4, width - 1] == pytest.approx(10)  # the first point's pixel gets the smallest of the group
    assert depth[5, 0] == pytest.approx(10)


def test_points_behind_or_beside_the_camera_are_dropped(tmp_path):
    assert not project([(-10, 0, 0), (10, 30, 0), (10, 0, 20), (0, 0, 0)], tmp_path).any()
    assert not project([], tmp_path).any()


def test_the_right_camera_sees_points_further_left(tmp_path):
    left, right = (np.argwhere(project([(10, 0, 0)], tmp_path, camera))[0] for camera in (2, 3))
    assert left[1] - right[1] == pytest.approx(0.54 * tiny.FOCAL / 10, abs=1)


def source(tmp_path: Path) -> DepthSource:
    tiny.kitti_calibration(tmp_path)
    path = tiny.scan(tmp_path / "scan.bin", [(10, 1.0, 0.5)])
    return DepthSource("velodyne", str(path), calibration=str(tmp_path), cache=str(tmp_path / "cache/scan"))


def test_the_projection_is_kept_and_used_again(tmp_path, monkeypatch):
    given = source(tmp_path)
    first = read_depth(given)
    assert first[9, 35] == 10
    (kept,) = (tmp_path / "cache").iterdir()
    monkeypatch.setattr(velodyne, "project", lambda *_: pytest.fail("projected again"))
    assert np.array_equal(read_depth(given), first)
    assert kept.suffix == ".png"


def test_a_changed_scan_is_projected_anew(tmp_path):
    given = source(tmp_path)
    read_depth(given)
    tiny.scan(Path(given.path), [(12, 1.2, 0.6), (5, 0, 0)])
    assert read_depth(given)[9, 35] == pytest.approx(12, abs=1 / 256)


def test_a_damaged_cache_is_replaced(tmp_path, caplog):
    given = source(tmp_path)
    first = read_depth(given)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:40])
    assert np.array_equal(read_depth(given), first)
    assert "projecting the scan again" in caplog.text


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path):
    given = source(tmp_path)
    (tmp_path / "cache").write_text("a file where a folder belongs")
    assert read_depth(given)[9, 35] == 10


@pytest.mark.parametrize("content", [b"", b"123", bytes(20)])
def test_a_damaged_scan_is_named(tmp_path, content):
    given = source(tmp_path)
    Path(given.path).write_bytes(content)
    with pytest.raises(UserError, match=r"scan\.bin: "):
        read_depth(given)


def test_missing_calibration_is_named(tmp_path):
    given = source(tmp_path)
    (tmp_path / velodyne.SCANNER_FILE).unlink()
    with pytest.raises(UserError, match=r"calib_velo_to_cam\.txt: cannot read the calibration"):
        read_depth(given)


def test_the_left_size_serves_the_right_camera_where_it_has_none(tmp_path):
    tiny.kitti_calibration(tmp_path)
    whole = velodyne.scanner_to_image(tmp_path, 3)
    path = tmp_path / velodyne.CAMERA_FILE
    lines = [line for line in path.read_text().splitlines() if not line.startswith("S_rect_03")]
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / path.name).write_text("\n".join(lines))
    shutil.copy(tmp_path / velodyne.SCANNER_FILE, tmp_path / "left")
    matrix, size = velodyne.scanner_to_image(tmp_path / "left", 3)
    assert size == whole[1] == tiny.SIZE and np.array_equal(matrix, whole[0])


@pytest.mark.parametrize("value", ["1e39", "-1e39", "1e-46", "0"])
def test_values_beyond_float32_are_refused(tmp_path, value):
    tiny.kitti_calibration(tmp_path)
    path = tmp_path / velodyne.CAMERA_FILE
    path.write_text(path.read_text().replace(f"P_rect_02: {tiny.FOCAL}", f"P_rect_02: {value}"))
    with pytest.raises(UserError, match=r"line \d+: (a value of P_rect_02 is too large|P_rect_02 has focal lengths)"):
        velodyne.scanner_to_image(tmp_path, 2)


def test_an_incomplete_calibration_entry_is_named(tmp_path):
    path = tmp_path / "calib_cam_to_cam.txt"
    path.write_text("P_rect_02: 1 2 3\n")
    with pytest.raises(UserError, match="3 values for P_rect_02, expected 12"):
        calibration_entry(path, "P_rect_02", 3, 4)
    with pytest.raises(UserError, match="no values for K_02"):
        focal_length(path, 2, rectified=False)
