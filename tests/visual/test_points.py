"""Lenses, and point clouds that other programs read."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from PIL import Image

from errors import UserError
from visual import points
from visual.lens import Lens, find_lens, has_lens, need_lens
from visual.points import build_cloud, edges, glb, ply

LENS = Lens(50.0, 60.0, 31.5, 15.5, "--intrinsics")


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A wall at 4 m with a square at 2 m before it; every pixel has a colour of its own."""
    depth = np.full((32, 64), 4.0, np.float32)
    depth[10:20, 20:40] = 2.0
    number = np.arange(32 * 64, dtype=np.int64).reshape(32, 64)
    return np.stack([number % 256, number // 256, number * 0 + 200], axis=2).astype(np.uint8), depth


def test_points_project_back_onto_their_pixels():
    image, depth = scene()
    cloud = build_cloud(image, depth, LENS)
    u = np.rint(cloud.points[:, 0] / cloud.points[:, 2] * LENS.fx + LENS.cx).astype(int)
    v = np.rint(cloud.points[:, 1] / cloud.points[:, 2] * LENS.fy + LENS.cy).astype(int)
    assert (image[v, u] == cloud.colours).all() and (depth[v, u] == cloud.points[:, 2]).all()
    masked = np.ones(depth.shape, bool)
    masked[v, u] = False
    assert (masked == edges(depth)).all() and masked.sum() == 22 * 12 - 18 * 8


def test_large_images_give_no_more_points_than_allowed(monkeypatch):
    monkeypatch.setattr(points, "MOST_POINTS", 512)
    image, depth = scene()
    cloud = build_cloud(image, depth * 0 + 3, LENS)
    assert len(cloud.points) == 512 and cloud.points[0, 0] == pytest.approx(-31.5 / 50 * 3)


def test_a_ply_file_says_unit_and_axes_and_holds_what_it_says():
    cloud = build_cloud(*scene(), LENS)
    head, _, body = ply(cloud, "metres up to scale").partition(b"end_header\n")
    lines = head.decode().splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"] and "comment unit: metres up to scale" in lines
    assert f"element vertex {len(cloud.points)}" in lines
    rows = np.frombuffer(body, [("point", "<f4", 3), ("colour", "u1", 3)])
    assert (rows["point"] == cloud.points).all() and (rows["colour"] == cloud.colours).all()


def test_a_glb_file_is_whole_and_turned_as_viewers_have_it():
    cloud = build_cloud(*scene(), LENS)
    data = glb(cloud, "metres")
    magic, version, length, size, kind = struct.unpack("<4sIIII", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), 0x4E4F534A)
    about = json.loads(data[20 : 20 + size])
    binary = data[28 + size :]
    assert about["buffers"][0]["byteLength"] == len(binary) and about["asset"]["extras"]["unit"] == "metres"
    position, colour = about["accessors"]
    found = np.frombuffer(binary, "<f4", 3 * position["count"]).reshape(-1, 3)
    np.testing.assert_array_equal(found, cloud.points * [1, -1, -1])
    assert position["min"] == found.min(0).tolist() and position["max"] == found.max(0).tolist()
    levels = np.frombuffer(binary, "<u2", offset=about["bufferViews"][1]["byteOffset"]).reshape(-1, 4) / 65535
    as_srgb = np.where(levels <= 0.0031308, levels * 12.92, 1.055 * levels ** (1 / 2.4) - 0.055)
    assert (np.rint(as_srgb[:, :3] * 255) == cloud.colours).all() and (levels[:, 3] == 1).all()


def test_an_empty_cloud_is_a_file_all_the_same():
    image, depth = scene()
    cloud = build_cloud(image, depth * np.float32(1.5) ** np.arange(64, dtype=np.float32), LENS)
    assert (
        len(cloud.points) == 0 and b"element vertex 0" in ply(cloud, "metres") and glb(cloud, "metres")[:4] == b"glTF"
    )


def test_a_lens_comes_from_options_or_exif_and_says_which(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26  # focal length on 35 mm film
    Image.new("RGB", (400, 300)).save(path, exif=exif)
    assert find_lens(path, (300, 400), (1.0, 2.0, 3.0, 4.0), 0) == Lens(1, 2, 3, 4, "--intrinsics")
    wide = find_lens(path, (300, 400), (), 90.0)
    assert (wide.fx, wide.cx, wide.cy) == pytest.approx((200, 199.5, 149.5)) and wide.source == "--fov 90"
    told = find_lens(path, (300, 400), (), 0.0)
    assert told.fx == told.fy == pytest.approx(26 / np.hypot(36, 24) * 500) and "EXIF" in told.source
    Image.new("RGB", (400, 300)).save(tmp_path / "b.jpg")
    assert find_lens(tmp_path / "b.jpg", (300, 400), (), 0.0) is None and find_lens(None, (3, 4), (), 0.0) is None
    with pytest.raises(UserError, match=r"b.jpg: says no focal length; give --intrinsics"):
        need_lens(tmp_path / "b.jpg", "b", (300, 400), (), 0.0)


def test_a_lens_may_be_written_beside_the_image(tmp_path):
    Image.new("RGB", (400, 300)).save(tmp_path / "b.jpg")
    (tmp_path / "a/deep").mkdir(parents=True)
    Image.new("RGB", (400, 300)).save(tmp_path / "a/deep/c.png")
    assert not has_lens(tmp_path / "b.jpg", (), 0.0)
    (tmp_path / "intrinsics.txt").write_text("0.75 1.0 0.5 0.5")
    told = find_lens(tmp_path / "b.jpg", (300, 400), (), 0.0)
    assert has_lens(tmp_path / "b.jpg", (), 0.0)
    assert told == Lens(300, 300, 200, 150, f"{tmp_path / 'intrinsics.txt'} (normalised)")
    assert find_lens(tmp_path / "b.jpg", (300, 400), (), 90.0).source == "--fov 90"
    deeper = tmp_path / "a/deep/c.png"
    assert not has_lens(deeper, (), 0.0) and find_lens(deeper, (300, 400), (), 0.0) is None
    assert has_lens(deeper, (), 0.0, (tmp_path,)) and find_lens(deeper, (300, 400), (), 0.0, (tmp_path,)) == told
    assert find_lens(deeper, (300, 400), (), 0.0, (tmp_path / "a",)) is None


def test_a_lens_follows_crops_and_other_sizes():
    part = LENS.moved((5, 7))
    assert (part.cx, part.cy, part.fx) == (24.5, 10.5, 50)
    half = LENS.resized((32, 64), (16, 128))
    assert (half.fx, half.fy, half.cx, half.cy) == (100, 30, 63.5, 7.5)


def test_a_cloud_swings_about_its_middle_where_animations_are_played():
    cloud = build_cloud(*scene(), LENS)
    plain, swinging = glb(cloud, "metres"), glb(cloud, "metres", swing=20)
    length = struct.unpack_from("<I", swinging, 12)[0]
    about, content = json.loads(swinging[20 : 20 + length]), swinging[28 + length :]
    assert content.startswith(plain[28 + struct.unpack_from("<I", plain, 12)[0] :])
    assert len(content) == about["buffers"][0]["byteLength"]
    outer, inner = about["nodes"]
    assert outer["children"] == [1] and inner["translation"] == [-each for each in outer["translation"]]
    views = [about["bufferViews"][about["accessors"][place]["bufferView"]] for place in (2, 3)]
    times, turns = (np.frombuffer(content, "<f4", view["byteLength"] // 4, view["byteOffset"]) for view in views)
    turns = turns.reshape(-1, 4)
    assert (np.diff(times) > 0).all() and len(times) == len(turns) == about["accessors"][2]["count"]
    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.degrees(2 * np.arcsin(turns[:, 1])).max(), 20, rtol=1e-4)
    np.testing.assert_allclose(turns[0], turns[-1], atol=1e-6)


def test_the_farthest_points_can_be_left_out():
    cloud = build_cloud(*scene(), LENS)
    cloud.points[:3, 2] = 100
    assert len(points.without_farthest(cloud, 4).points) == len(cloud.points) - 3
    assert len(points.without_farthest(points.Cloud(cloud.points[:0], cloud.colours[:0]), 4).points) == 0
