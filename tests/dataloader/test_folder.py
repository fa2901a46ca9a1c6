"""Own data: folders of frames."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataloader.catalog import find_loader
from dataloader.files import read_depth
from dataloader.samples import check_intrinsics
from dataloader.splits import resolve, with_truth
from errors import UserError
from tests.dataloader import tiny

TRAIN = find_loader("depth", "folder_train", training=True)
TEST = find_loader("depth", "folder_test")
K = (40.0, 42.0, 39.5, 12.5)


def frames(folder: Path, numbers: object, pattern: str = "frame_{}.png", size: tuple[int, int] = tiny.SIZE) -> None:
    for number in numbers:
        tiny.save(folder / pattern.format(number), tiny.picture(number % 1000, size))


def train(root: Path, intrinsics: tuple[float, ...] = K) -> list:
    return resolve(TRAIN, "", data_folder=str(root), data_intrinsics=intrinsics)


def names(samples: list) -> list[str]:
    return [sample.name for sample in samples]


def test_every_subfolder_is_a_sequence_in_the_order_of_its_numbers(tmp_path):
    frames(tmp_path / "b", range(8, 12))  # 8, 9, 10, 11: text order would be 10, 11, 8, 9
    frames(tmp_path / "a", range(3), "{}.jpg")
    samples = train(tmp_path)
    assert names(samples) == ["a/1", "b/frame_9", "b/frame_10"]
    assert [Path(samples[1].images[offset]).stem for offset in (-1, 0, 1)] == ["frame_8", "frame_9", "frame_10"]


def test_images_may_lie_directly_in_the_folder(tmp_path):
    frames(tmp_path, range(4))
    assert names(train(tmp_path)) == ["frame_1", "frame_2"]


def test_neighbours_are_the_next_frames_whatever_the_gaps(tmp_path):
    frames(tmp_path / "a", [1, 2, 3, 5, 6, 9, 10, 11])
    samples = train(tmp_path)
    assert names(samples) == [f"a/frame_{number}" for number in (2, 3, 5, 6, 9, 10)]
    assert [Path(samples[3].images[offset]).stem for offset in (-1, 0, 1)] == ["frame_5", "frame_6", "frame_9"]


def test_all_numbers_of_a_name_order_the_frames(tmp_path):
    stamps = ["1305031102.175304", "1305031102.211214", "1305031103.011100", "1305031110.5"]
    for place, stamp in enumerate(stamps):
        tiny.save(tmp_path / f"stamps/{stamp}.png", tiny.picture(place))
    for place, name in enumerate(("take2_10", "take10_1", "take2_9", "take2_11")):
        tiny.save(tmp_path / f"takes/{name}.png", tiny.picture(place))
    samples = train(tmp_path)
    assert names(samples) == [f"stamps/{stamp}" for stamp in stamps[1:3]] + ["takes/take2_10", "takes/take2_11"]
    assert samples[3].images[1].endswith("take10_1.png")


def test_frames_are_ordered_by_seconds_with_decimals(tmp_path):
    stamps = ["1551915398.0503", "1551915398.15", "1551915398.2", "1551915398.3"]
    for place, stamp in enumerate(stamps):
        tiny.save(tmp_path / f"{stamp}.png", tiny.picture(place))
    assert [[Path(path).stem for path in sample.images.values()] for sample in train(tmp_path)] == [
        [stamps[1], stamps[0], stamps[2]],
        [stamps[2], stamps[1], stamps[3]],
    ]


def test_the_number_orders_frames_whose_names_differ_otherwise(tmp_path):
    for name in ("b_1", "a_2", "c_3"):
        tiny.save(tmp_path / f"{name}.png", tiny.picture(0))
    assert names(train(tmp_path)) == ["a_2"]


def test_each_sequence_is_normalised_by_its_own_size(tmp_path):
    frames(tmp_path / "a", range(3))
    frames(tmp_path / "b", range(3), size=(48, 160))
    first, second = train(tmp_path)
    assert first.intrinsics == (40 / 80, 42 / 24, 39.5 / 80, 12.5 / 24)
    assert second.intrinsics == (40 / 160, 42 / 48, 39.5 / 160, 12.5 / 48)


def test_truth_lies_in_a_folder_of_its_own(tmp_path):
    frames(tmp_path / "a", range(3))
    tiny.save(tmp_path / "a/depth/frame_0.png", np.full(tiny.SIZE, 5 * 256, np.uint16))
    np.save(tmp_path / "a/depth/frame_2.npy", np.full(tiny.SIZE, 6.5))
    samples = resolve(TEST, "", data_folder=str(tmp_path), data_intrinsics=K)
    assert names(samples) == ["a/frame_0", "a/frame_1", "a/frame_2"]
    kept = with_truth(TEST, samples)
    assert [read_depth(sample.depth).max() for sample in kept] == [5, 6.5]


def test_truth_of_images_directly_in_the_folder_is_found(tmp_path):
    frames(tmp_path, range(1))
    tiny.save(tmp_path / "depth/frame_0.png", np.full(tiny.SIZE, 256, np.uint16))
    (sample,) = resolve(TEST, "", data_folder=str(tmp_path), data_intrinsics=K)
    assert read_depth(sample.depth).max() == 1


def test_no_truth_at_all_is_an_error_for_evaluation_only(tmp_path):
    frames(tmp_path, range(3))
    assert with_truth(TRAIN, train(tmp_path))
    with pytest.raises(UserError, match=r"folder_test: none of its 3 frames has depth; put .* into 'depth/' beside"):
        with_truth(TEST, resolve(TEST, "", data_folder=str(tmp_path), data_intrinsics=K))


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        ((), "--data-intrinsics: 0 numbers; give fx,fy,cx,cy"),
        ((40.0, 40.0, 40.0), "3 numbers"),
        ((0.0, 40.0, 40.0, 12.0), "focal lengths 0, 40 must be positive"),
        ((40.0, -1.0, 40.0, 12.0), "must be positive"),
        ((40.0, 40.0, 400.0, 12.0), "principal point 400, 12 lies outside the 80 x 24"),
        ((40.0, 40.0, 40.0, -3.0), "lies outside"),
        ((float("nan"), 40.0, 40.0, 12.0), "nan, 40, 40, 12 are not four numbers"),
        ((1e39, 40.0, 40.0, 12.0), r"--data-intrinsics: 1e\+39 becomes 0 or infinite in float32"),
        ((40.0, 1e38, 40.0, 12.0), "becomes 0 or infinite in float32"),  # once it is multiplied by a width
        ((1e-39, 40.0, 40.0, 12.0), "becomes 0 or infinite in float32"),
        ((40.0, 40.0, 1e-50, 12.0), "becomes 0 or infinite in float32"),
    ],
)
def test_wrong_intrinsics_are_refused(tmp_path, intrinsics, message):
    frames(tmp_path, range(3))
    with pytest.raises(UserError, match=message):
        train(tmp_path, intrinsics)


@pytest.mark.parametrize("intrinsics", [(200.0, 200.0, -70.0, 12.0), (200.0, 200.0, 150.0, 60.0)])
def test_a_crop_beside_the_centre_is_warned_of(tmp_path, intrinsics, caplog):
    frames(tmp_path / "a", range(3))
    frames(tmp_path / "b", range(3))
    samples = train(tmp_path, intrinsics)
    assert samples[0].intrinsics == tuple(
        value / size for value, size in zip(intrinsics, (80, 24, 80, 24), strict=True)
    )
    (said,) = [record.message for record in caplog.records if "lies outside the 80 x 24" in record.message]
    assert "right for a crop" in said


def test_pixels_in_place_of_shares_are_no_crop():
    assert check_intrinsics("here", (1.8, 3.0, -0.2, 0.5)) == (1.8, 3.0, -0.2, 0.5)
    with pytest.raises(UserError, match="lies outside the 1 x 1"):
        check_intrinsics("here", (721.5, 721.5, 609.6, 172.9))


def test_numbers_that_do_not_order_the_frames_are_refused(tmp_path):
    frames(tmp_path / "a", range(3))
    tiny.save(tmp_path / "a/cover.png", tiny.picture(0))
    with pytest.raises(UserError, match=r"a/cover\.png: no number"):
        train(tmp_path)
    (tmp_path / "a/cover.png").rename(tmp_path / "a/other_1.png")
    with pytest.raises(UserError, match=r"a: frame_1\.png and other_1\.png have the same number"):
        train(tmp_path)
    (tmp_path / "a/other_1.png").rename(tmp_path / "a/frame_01.jpg")
    with pytest.raises(UserError, match=r"a: frame_01\.jpg and frame_1\.png have the same number"):
        train(tmp_path)


def test_sizes_must_agree_within_a_sequence(tmp_path):
    frames(tmp_path / "a", range(3))
    frames(tmp_path / "a", [3], size=(30, 80))
    with pytest.raises(UserError, match=r"a: images of different sizes \(frame_2\.png 24 x 80, frame_3\.png 30 x 80"):
        train(tmp_path)


@pytest.mark.parametrize("numbers", [[0], [0, 1]])
def test_too_few_frames_are_refused(tmp_path, numbers):
    frames(tmp_path / "a", numbers)
    with pytest.raises(UserError, match="no frame has one before and one after it; put at least three frames"):
        train(tmp_path)


def test_a_missing_or_empty_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="pass --data-folder DIR"):
        train("")
    with pytest.raises(UserError, match="absent: no such folder"):
        train(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("no pictures here")
    with pytest.raises(UserError, match="no images"):
        train(tmp_path)


def test_a_damaged_picture_is_found_before_training(tmp_path):
    frames(tmp_path, range(3))
    (tmp_path / "frame_1.png").write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"frame_1\.png: cannot read the image size"):
        train(tmp_path)


def test_a_phone_picture_is_normalised_by_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(3):
        Image.fromarray(tiny.picture(number)).save(tmp_path / f"{number}.jpg", exif=exif)
    assert train(tmp_path, (40.0, 40.0, 12.0, 40.0))[0].intrinsics == (40 / 24, 40 / 80, 0.5, 0.5)


def test_images_with_measured_depth_need_neither_neighbours_nor_a_camera(tmp_path):
    frames(tmp_path / "a", range(3))
    for frame, kind in ((0, ""), (2, ""), (2, "dense/")):
        tiny.save(tmp_path / f"a/depth/{kind}frame_{frame}.png", np.full(tiny.SIZE, 2000 + frame, np.uint16))
    spec = find_loader("depth", "folder_depth_train", training=True)
    samples = with_truth(spec, resolve(spec, "", data_folder=str(tmp_path), data_depth_unit=0.001))
    assert names(samples) == ["a/frame_0", "a/frame_2"] and [*samples[0].images] == [0]
    assert samples[0].dense is None and read_depth(samples[1].dense)[0, 0] == np.float32(2.002)
    assert read_depth(samples[1].depth)[0, 0] == np.float32(2.002)
    with pytest.raises(UserError, match="--data-intrinsics: 2 numbers"):
        resolve(spec, "", data_folder=str(tmp_path), data_intrinsics=(1.0, 2.0))
    with pytest.raises(UserError, match="--data-intrinsics: 0 numbers"):
        train(tmp_path, ())
