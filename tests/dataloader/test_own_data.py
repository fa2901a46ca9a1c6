"""Own data beyond a folder of frames: nested folders, all kinds of images, cameras beside them, validation."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.catalog import find_loader
from dataloader.integrity import find_damaged
from dataloader.layouts.folder import tell_own
from dataloader.prepare.__main__ import main
from dataloader.shape import fitting_size, shape_doubt
from dataloader.splits import resolve, with_truth
from errors import UserError
from tests.dataloader import tiny

TRAIN = find_loader("depth", "folder_train", training=True)
MEASURED = find_loader("depth", "folder_depth_train", training=True)
VALIDATION = find_loader("depth", "folder_validation")
TEST = find_loader("depth", "folder_test")
K = (40.0, 42.0, 39.5, 12.5)


def frames(folder: Path, count: int, pattern: str = "{}.png", size: tuple[int, int] = tiny.SIZE) -> None:
    for number in range(count):
        tiny.save(folder / pattern.format(number), tiny.picture(number, size))


def train(root: Path, intrinsics: tuple[float, ...] = K, **own: object) -> list:
    return resolve(TRAIN, "", data_folder=str(root), data_intrinsics=intrinsics, **own)


def names(samples: list) -> list[str]:
    return [sample.name for sample in samples]


def test_every_folder_with_images_is_a_sequence_however_deep(tmp_path):
    frames(tmp_path, 3)
    for place in ("monday/front", "monday/rear/left", "monday", "tuesday"):
        frames(tmp_path / place, 3)
    frames(tmp_path / "tuesday/depth/dense", 3)
    frames(tmp_path / ".thumbnails", 3)
    (tmp_path / "empty/deep").mkdir(parents=True)
    assert names(train(tmp_path)) == ["1", "monday/1", "monday/front/1", "monday/rear/left/1", "tuesday/1"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    frames(tmp_path / "elsewhere/a", 3)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/a/up").symlink_to(tmp_path / "own")
    assert names(train(tmp_path / "own")) == ["linked/a/1"]


@pytest.mark.parametrize("kind", ["bmp", "webp", "tif", "ppm", "JPG"])
def test_all_kinds_of_images_are_frames(tmp_path, kind):
    frames(tmp_path, 2)
    Image.fromarray(tiny.picture(2)).save(tmp_path / f"2.{kind}")
    (sample,) = train(tmp_path)
    assert sample.images[1].endswith(f"2.{kind}") and not find_damaged(sample.images.values())
    (tmp_path / f"3.{kind}").write_bytes(b"<html>")
    assert "3." in find_damaged([str(tmp_path / f"3.{kind}")])[str(tmp_path / f"3.{kind}")]


def test_neighbours_are_as_far_away_as_the_frame_step(tmp_path):
    frames(tmp_path, 7)
    samples = train(tmp_path, frame_step=2)
    assert names(samples) == ["2", "3", "4"]
    assert [Path(path).stem for path in samples[0].images.values()] == ["2", "0", "4"]
    with pytest.raises(UserError, match="--frame-step 4 takes 9"):
        train(tmp_path, frame_step=4)


def test_the_end_of_every_sequence_is_for_validation_and_no_frame_is_in_both_parts(tmp_path):
    for name, count in (("a", 10), ("b", 20)):
        frames(tmp_path / name, count)
        for number in range(count):
            tiny.save(tmp_path / name / f"depth/{number}.png", np.full(tiny.SIZE, 512, np.uint16))
    own = {"data_folder": str(tmp_path), "data_validation_share": 0.2}
    trained = train(tmp_path, data_validation_share=0.2)
    kept = with_truth(VALIDATION, resolve(VALIDATION, "", **own))
    assert names(kept) == ["a/8", "a/9", "b/16", "b/17", "b/18", "b/19"]
    seen = {path for sample in trained for path in sample.images.values()}
    assert seen.isdisjoint(sample.images[0] for sample in kept) and len(seen) == 24
    assert names(resolve(MEASURED, "", **own))[-1] == "b/15"
    assert len(resolve(TEST, "", **own)) == 30


def test_validation_needs_a_share_of_at_least_a_frame(tmp_path):
    frames(tmp_path, 4)
    with pytest.raises(UserError, match=r"folder_validation: .* pass --data-validation-share 0\.1"):
        resolve(VALIDATION, "", data_folder=str(tmp_path))
    with pytest.raises(UserError, match=r"--data-validation-share 0\.1: no sequence of .* is so long"):
        resolve(VALIDATION, "", data_folder=str(tmp_path), data_validation_share=0.1)
    with pytest.raises(UserError, match="besides those of --data-validation-share"):
        train(tmp_path, data_validation_share=0.5)


def test_what_training_leaves_for_validation_can_be_exported(tmp_path, capsys):
    frames(tmp_path / "own", 10)
    for number in range(10):
        tiny.save(tmp_path / f"own/depth/{number}.png", np.full(tiny.SIZE, 512, np.uint16))
    words = ["export-gt", VALIDATION.name, "--data-folder", str(tmp_path / "own"), "--out", str(tmp_path / "kept.npz")]
    assert main([*words, "--data-validation-share", "0.2"]) == 0
    assert "2 maps of folder_validation" in capsys.readouterr().out
    assert main([*words, "--overwrite"]) == 2 and "pass --data-validation-share 0.1" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--data-validation-share", "2"]) == 2
    assert "--data-validation-share: 2.0 is out of range" in capsys.readouterr().err


def test_the_camera_of_a_sequence_lies_in_its_folder_or_above(tmp_path, caplog):
    frames(tmp_path / "a", 3)
    frames(tmp_path / "b/deep", 3)
    (tmp_path / "intrinsics.txt").write_text("0.5 1.75 0.5 0.5")
    (tmp_path / "a/cameras.txt").write_text("1 PINHOLE 160 48 80 84 80 24")
    first, second = train(tmp_path, ())
    assert first.intrinsics == second.intrinsics == (0.5, 1.75, 0.5, 0.5) and first.measured
    assert first.camera == f"{tmp_path / 'a/cameras.txt'}, in pixels of the files"
    assert second.camera == f"{tmp_path / 'intrinsics.txt'}, divided by width and height"
    with caplog.at_level(logging.INFO):
        tell_own(TRAIN, [first, second], (96, 96))
    assert "cameras.txt, in pixels of the files: fx 40.0 fy 42.0 cx 40.0 cy 12.0 pixels at 24 x 80" in caplog.text
    assert "images of 24 x 80 are squashed to 96 x 96 (height x width), another shape" in caplog.text
    caplog.clear()
    tell_own(MEASURED, [first])  # learns from crops
    assert "squashed" not in caplog.text


def test_a_file_above_the_data_folder_is_not_looked_at(tmp_path):
    (tmp_path / "intrinsics.txt").write_text("0.5 1.75 0.5 0.5")
    frames(tmp_path / "own", 3)
    with pytest.raises(UserError, match=r"--data-intrinsics: 0 numbers; .*own/intrinsics\.txt"):
        train(tmp_path / "own", ())


def test_the_option_and_a_file_must_tell_the_same_camera(tmp_path):
    frames(tmp_path, 3)
    (tmp_path / "intrinsics.txt").write_text("0.5 1.75 0.49375 0.5208333")
    assert train(tmp_path)[0].camera.startswith("--data-intrinsics")
    with pytest.raises(
        UserError, match=r"intrinsics\.txt: tells another camera than --data-intrinsics 50,42,39.5,12.5"
    ):
        train(tmp_path, (50.0, *K[1:]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0.5, 1.75, 0.5, 0.5), r"24 x 80 \(height x width\), they are 40,42,40,12: give those"),
        ((40.0, 42.0, 0.5, 0.5), "neither all pixels nor all divided by width and height"),
    ],
)
def test_normalised_numbers_are_no_pixels(tmp_path, given, message):
    frames(tmp_path, 3)
    with pytest.raises(UserError, match=message):
        train(tmp_path, given)


def test_a_network_has_the_shape_of_the_images():
    assert fitting_size((375, 1242), 32) == (192, 640)
    assert fitting_size((1080, 1920), 32) == (288, 512) and fitting_size((1920, 1080), 32) == (512, 288)
    assert fitting_size((1080, 1920), 14)[0] % 14 == 0
    assert not shape_doubt((375, 1242), (192, 640), 32)
    assert shape_doubt((1920, 1080), (192, 640), 32).endswith("another shape; 512 x 288 has theirs")
