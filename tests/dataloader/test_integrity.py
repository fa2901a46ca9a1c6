"""The cheap look at files before training."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader import integrity
from dataloader.integrity import find_damaged, needed
from dataloader.samples import DepthSource, Sample
from tests.dataloader import tiny


def jpeg(path: Path, seed: int = 0) -> Path:
    return tiny.save(path, tiny.picture(seed, (64, 96)))


def fault(path: Path) -> str:
    return find_damaged([str(path)]).get(str(path), "")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "the file is empty"),
        (lambda content: content[: len(content) // 2], "cannot decode"),
        (lambda content: b"<html>" + content, "not an image"),
        (lambda content: b"\0" * len(content), "not an image"),
    ],
)
def test_empty_cut_off_and_foreign_files_are_damaged(tmp_path, name, damage, words):
    path = jpeg(tmp_path / name)
    assert not fault(path)
    other = path.with_name(f"other_{name}")
    other.write_bytes(damage(path.read_bytes()))
    assert fault(other).startswith(f"{other}: ") and words in fault(other)


def test_a_missing_file_and_a_folder_are_damaged(tmp_path):
    assert "no such file" in fault(tmp_path / "none.png")
    assert "cannot be read" in fault(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_bytes_after_the_picture_and_other_kinds_do_no_harm(tmp_path, name):
    path = jpeg(tmp_path / name)
    path.write_bytes(path.read_bytes() + b"\0" * 5000)
    assert not fault(path)
    Image.fromarray(tiny.picture(0)).save(tmp_path / "bitmap", "BMP")
    (tmp_path / "bitmap").rename(tmp_path / f"bitmap_{name}")
    assert not fault(tmp_path / f"bitmap_{name}")


def test_files_that_are_no_images_must_not_be_empty(tmp_path):
    for name in ("scan.bin", "depth.npy", "calibration.txt"):
        path = tmp_path / name
        path.write_bytes(b"x")
        assert not fault(path)
        empty = tmp_path / f"empty_{name}"
        empty.touch()
        assert "the file is empty" in fault(empty)


def test_sound_files_are_looked_at_once_and_damaged_ones_again(tmp_path, monkeypatch):
    seen = []
    real = integrity._looks_sound
    monkeypatch.setattr(integrity, "_looks_sound", lambda path, image: seen.append(path) or real(path, image))
    good, bad = str(jpeg(tmp_path / "good.png")), str(tmp_path / "bad.png")
    Path(bad).touch()
    assert list(find_damaged([good, bad, good, bad])) == [bad]
    assert sorted(seen) == [bad, good]
    jpeg(Path(bad))
    assert not find_damaged([good, bad])
    assert seen[2:] == [bad]


def test_after_the_limit_the_rest_is_left_unseen(tmp_path, caplog):
    (tmp_path / "a.png").touch()
    with caplog.at_level("INFO"):
        assert not find_damaged([str(tmp_path / "a.png")], limit=0)
    assert "looked at 0 of 1 files in 0 seconds" in caplog.text
    assert find_damaged([str(tmp_path / "a.png")])


def test_a_look_costs_little_and_a_second_one_nothing(tmp_path):
    content = jpeg(tmp_path / "0.png").read_bytes()
    paths = [str(tmp_path / f"{number}.png") for number in range(4000)]
    for path in paths:
        Path(path).write_bytes(content)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        assert not find_damaged(paths)
        times.append(time.perf_counter() - started)
    assert times[0] < 3 and times[1] < 0.1


def test_everything_that_is_read_for_a_sample_is_needed():
    intrinsics = (1.0, 1.0, 0.5, 0.5)
    scan = DepthSource("velodyne", "s.bin", calibration="c")
    assert list(needed(Sample("a", {0: "0.png", 1: "1.png"}, intrinsics, depth=scan, labels="l.png"))) == [
        "0.png",
        "1.png",
        "l.png",
        "s.bin",
        "c/calib_cam_to_cam.txt",
        "c/calib_velo_to_cam.txt",
    ]
    disparity = DepthSource("disparity", "d.png", calibration="c.txt")
    assert list(needed(Sample("a", {}, intrinsics, depth=disparity, pose=np.eye(4)))) == ["d.png", "c.txt"]
