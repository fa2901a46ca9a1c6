"""Cameras that people write beside their images."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import UserError
from storage.cameras import COLMAP, Camera, find_camera, unit_of

SIZE = (96, 320)


def told(folder: Path, name: str, text: str, size: tuple[int, int] = SIZE) -> Camera:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return find_camera([folder], size)


@pytest.mark.parametrize(
    "text",
    [
        "180 181 160 48",
        "180, 181, 160, 48\n",
        "\ufeff# fx fy cx cy\r\n180.0\t181.0\r\n160 48  # of the left one\r\n",
        "180 0 160\n0 181 48\n0 0 1\n",
        "[[1.8e2, 0, 160],\n [0, 181, 48],\n [0, 0, 1]]",
    ],
)
def test_four_numbers_and_the_matrix_of_them_are_the_same(tmp_path, text):
    camera = told(tmp_path, "intrinsics.txt", text)
    assert camera == Camera((180, 181, 160, 48), "pixels", tmp_path / "intrinsics.txt")
    assert camera.in_pixels(SIZE) == camera.values


def test_the_size_of_the_numbers_says_whether_they_are_pixels(tmp_path):
    camera = told(tmp_path, "intrinsics.txt", "0.5625 1.875 0.5 0.5")
    assert (camera.unit, camera.in_pixels(SIZE)) == ("normalised", (180, 180, 160, 48))
    assert unit_of((25, 25, 12, 8)) == "pixels"
    for mixture in ((721.5, 721.5, 0.5, 0.5), (0.58, 1.92, 621, 187), (5, 5, 3, 2), (0.58, 1.92, 1.5, 0.5)):
        assert unit_of(mixture) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 numbers; write fx fy cx cy, or the 3 x 3 matrix"),
        ("180 180 160", "3 numbers"),
        ("180 180 160 wide", "'wide' is not a number"),
        ("180 180 160 nan", "'nan' is not a number"),
        ("180 180 0.5 0.5", "180, 180, 0.5, 0.5 are neither all pixels nor all divided"),
        ("-180 180 160 48", "focal lengths -180, 180 must be positive"),
        ("180 3 160 0 180 48 0 0 1", "skew of 3"),
        ("180 0 0 0 180 0 160 48 1", "not the rows fx 0 cx, 0 fy cy, 0 0 1"),  # the matrix of MATLAB
    ],
)
def test_what_is_no_camera_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        told(tmp_path, "intrinsics.txt", text)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "intrinsics.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"intrinsics\.txt: is no text"):
        find_camera([tmp_path], SIZE)


@pytest.mark.parametrize("name", COLMAP)
@pytest.mark.parametrize("row", ["SIMPLE_PINHOLE 320 96 180 160 48", "PINHOLE 640 192 360 360 320 96"])
def test_cameras_of_colmap_are_taken_at_the_size_of_the_images(tmp_path, name, row):
    camera = told(tmp_path, name, f"# Camera list\n# CAMERA_ID, MODEL\n1 {row}\n")
    assert (camera.values, camera.unit, camera.doubt) == ((180, 180, 160, 48), "pixels", "")


def test_images_that_were_resized_to_whole_pixels_keep_their_camera(tmp_path):
    camera = told(tmp_path, "cameras.txt", "1 PINHOLE 1242 375 720 720 621 187.5", size=(193, 640))
    assert camera.values == pytest.approx((720 * 640 / 1242, 720 * 193 / 375, 320, 96.5))


@pytest.mark.parametrize("row", ["SIMPLE_RADIAL 320 96 180 160 48 0", "OPENCV 320 96 180 180 160 48 0 0 0 0"])
def test_a_lens_without_distortion_is_none_to_speak_of(tmp_path, row):
    assert told(tmp_path, "cameras.txt", f"1 {row}").doubt == ""


def test_a_little_distortion_is_told_with_the_remedy(tmp_path):
    doubt = told(tmp_path, "cameras.txt", "1 SIMPLE_RADIAL 320 96 180 160 48 0.002").doubt
    assert "0.58 pixels of 640 is left out of account" in doubt  # 2 * 0.002 * hypot(160, 48) ** 3 / 180 ** 2
    assert "colmap image_undistorter" in doubt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 RADIAL 320 96 180 160 48 0.1 0.01", r"distortion of the RADIAL moves pixels .* colmap image_undistorter"),
        ("1 OPENCV 320 96 180 180 160 48 0 0 0.05 0", "distortion of the OPENCV moves pixels"),
        ("1 OPENCV_FISHEYE 320 96 180 180 160 48 0 0 0 0", "OPENCV_FISHEYE has distortion.*image_undistorter"),
        ("1 BALL 320 96 180", "unknown camera model BALL"),
        ("1 PINHOLE 320 96 180 160 48", "3 parameters of a PINHOLE, which has 4"),
        ("1 PINHOLE 320 96 -180 180 160 48", "must be positive"),
        ("1 PINHOLE 320 wide 180 180 160 48", "line 1 that is no comment is not CAMERA_ID MODEL WIDTH HEIGHT"),
        ("1 PINHOLE 96 320 180 180 48 160", "for images of 320 x 96, and these are 96 x 320"),
        ("# nothing", "for images of no camera at all"),
        (
            "1 PINHOLE 320 96 180 180 160 48\n2 PINHOLE 320 96 190 190 160 48",
            r"2 cameras fit .*--ImageReader.single_camera 1",
        ),
    ],
)
def test_cameras_of_colmap_that_cannot_serve_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        told(tmp_path, "cameras.txt", text)


def test_one_camera_of_several_sizes_is_chosen_by_the_size(tmp_path):
    text = "1 PINHOLE 320 96 180 180 160 48\n2 PINHOLE 640 480 500 500 320 240\n3 PINHOLE 640 192 360 360 320 96"
    assert told(tmp_path, "cameras.txt", text, size=(480, 640)).values == (500, 500, 320, 240)
    assert told(tmp_path, "cameras.txt", text).values == (180, 180, 160, 48)


def test_two_files_of_a_folder_must_agree_and_the_nearer_folder_wins(tmp_path):
    told(tmp_path, "cameras.txt", "1 PINHOLE 320 96 180 180 160 48")
    assert told(tmp_path, "intrinsics.txt", "180.01 180 160 48").place.name == "intrinsics.txt"
    with pytest.raises(UserError, match=r"intrinsics\.txt and .*cameras\.txt: tell different cameras"):
        told(tmp_path, "intrinsics.txt", "190 180 160 48")
    nearer = told(tmp_path / "a", "intrinsics.txt", "200 200 160 48")
    assert find_camera([tmp_path / "a", tmp_path], SIZE) == nearer
    assert find_camera([tmp_path / "b"], SIZE) is None
