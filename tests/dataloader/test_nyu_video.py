"""NYU Depth v2 as training data of depth: StructDepth's list of raw frames."""

import logging
from pathlib import Path

import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.check.doctor import Options, examine
from dataloader.files import image_size, open_rgb, read_image
from dataloader.pictures import DecodedPictures
from dataloader.splits import resolve
from errors import UserError
from tests import golden, real_data
from tests.dataloader import tiny

TRAIN = find_loader("depth", "nyu_v2_struct_train", training=True)
INTRINSICS = (518.85790117450188 / 608, 519.46961112127485 / 448, 309.58244941119034 / 608, 237.73616633400465 / 448)
ORDER = (0, -4, -3, -2, -1, 1, 2, 3, 4)


def path(number: int, scene: str = "den_0001") -> str:
    return f"{scene}/r-{1300000000 + number}.5-{number}.ppm"


def line(number: int, start: str = "nyu_depth_v2/") -> str:
    return " ".join(f"{start}{path(number + 10 * step)}" for step in ORDER)


def frames(folder: Path, numbers: range = range(0, 90, 10), kind: str = ".ppm") -> None:
    for number in numbers:
        tiny.save((folder / path(number)).with_suffix(kind), tiny.picture(number, (480, 640)))


def listed(root: Path, *lines: str, name: str = "struct_train_files.txt") -> Path:
    file = root / "nyu_v2" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines))
    return file


@pytest.mark.parametrize(
    "name", ["struct_train_files.txt", "nyu_train_0_10_20_30_40_21483-exceptfailed-21465.txt", "train_files.txt"]
)
def test_a_sample_is_a_frame_with_those_ten_raw_frames_before_and_after_it(tmp_path, name, caplog):
    caplog.set_level(logging.INFO)
    file = listed(tmp_path, line(40), line(30), name=name)
    frames(tmp_path / "nyu_v2/nyu_depth_v2")
    samples = resolve(TRAIN, tmp_path)
    assert [sample.name for sample in samples] == ["den_0001/r-1300000040.5-40", "den_0001/r-1300000030.5-30"]
    assert {offset: int(image.split("-")[-1][:2]) for offset, image in samples[0].images.items()} == {
        0: 40,
        -1: 30,
        1: 50,
    }
    assert samples[0].intrinsics == pytest.approx(INTRINSICS) and samples[0].measured
    assert image_size(samples[0].images[0]) == (448, 608) == read_image(samples[0].images[0]).shape[:2]
    assert str(file) in caplog.text


@pytest.mark.parametrize("folder", ["", "nyu_depth_v2", "raw"])
@pytest.mark.parametrize("start", ["", "/mnt/data/nyu_depth_v2/"])
@pytest.mark.parametrize("kind", [".ppm", ".jpg"])
def test_frames_are_found_from_wherever_the_list_names_them(tmp_path, folder, start, kind):
    listed(tmp_path, line(40, start))
    frames(tmp_path / "nyu_v2" / folder, range(30, 60, 10), kind)
    assert resolve(TRAIN, tmp_path)[0].images[1].endswith(f"r-1300000050.5-50{kind}::rectified")


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "nyu_v2").mkdir()
    with pytest.raises(UserError, match=r"nyu_v2: no struct_train_files\.txt; copy StructDepth's list"):
        resolve(TRAIN, tmp_path)
    listed(tmp_path, "bath/rgb_0.jpg bath/depth_0.png 518.8", name="train_files.txt")  # that of BTS
    with pytest.raises(UserError, match=r"nyu_v2: no struct_train_files\.txt"):
        resolve(TRAIN, tmp_path)
    frames(tmp_path / "nyu_v2", range(30, 60, 10))
    listed(tmp_path, line(40), line(50))
    with pytest.raises(UserError, match=r"1 missing file: .*/nyu_depth_v2/den_0001/r-1300000060\.5-60\.ppm; unpack"):
        resolve(TRAIN, tmp_path)
    assert len(resolve(TRAIN, tmp_path, drop=True)) == 1
    for wrong in ("a b", line(40) + " more", line(40).replace("nyu_depth_v2/", "../x/", 1)):
        listed(tmp_path, line(40), wrong)
        with pytest.raises(UserError, match=r"struct_train_files\.txt, line 2: .* is not nine paths"):
            resolve(TRAIN, tmp_path)


@pytest.mark.golden
def test_networks_are_trained_with_what_the_published_loader_shows_them(tmp_path):
    import torch

    meta, want = golden.load("nyu_preprocess")
    raw = torch.from_numpy(golden.uniform(901, 1, 3, 30, 40))
    enlarged = torch.nn.functional.interpolate(raw, (480, 640), mode="bilinear", align_corners=False)
    image = (enlarged * 255).round()[0].byte().permute(1, 2, 0).numpy()
    for number in (30, 40, 50):
        tiny.save(tmp_path / "nyu_v2" / path(number), image)
    listed(tmp_path, line(40))
    (sample,) = resolve(TRAIN, tmp_path)
    assert sample.intrinsics == pytest.approx(tuple(want["K_train_normalised"][[0, 1, 0, 1], [0, 1, 2, 2]]), rel=1e-6)
    found = DecodedPictures(tuple(meta["size"]), "lanczos").image(sample.images[0]).transpose(1, 2, 0)
    for flip, shown in enumerate((found, found[:, ::-1])):
        assert np.abs(shown.astype(int) - want[f"train_flip{flip}"]).max() <= 2
    step, inner = 16, want["undistorted_sample"][1:-1, 1:-1]  # without the margin that is cut off
    assert np.abs(read_image(sample.images[0])[::step, ::step].astype(int) - inner).max() <= 2


def test_a_smaller_copy_is_rectified_likewise(tmp_path):
    picture = tiny.picture(7, (480, 640))
    tiny.save(tmp_path / "whole.png", picture)
    tiny.save(tmp_path / "half.png", np.asarray(open_rgb(tmp_path / "whole.png").resize((320, 240))))
    whole, half = (open_rgb(f"{tmp_path}/{name}.png::rectified") for name in ("whole", "half"))
    assert half.size == (304, 224)
    assert np.abs(np.asarray(whole.resize(half.size)).astype(int) - np.asarray(half)).mean() < 1


def test_the_doctor_judges_what_the_whole_camera_sees(tmp_path):
    listed(tmp_path, line(40))
    frames(tmp_path / "nyu_v2")
    report, tiles = examine(TRAIN, Options(dataset_dir=str(tmp_path)), tiles=True)
    assert not report.faults and len(tiles) == 1 and "intrinsics at" not in str(report)
    assert "fx 518.9 fy 519.5 cx 325.6 cy 253.7 pixels at 480 x 640" in str(report)


@pytest.mark.golden
def test_a_real_raw_frame_is_read(tmp_path):
    frame = real_data.root() / "nyu_mini/raw/sample_basement/r-color.ppm"
    shown = read_image(f"{frame}::rectified")
    assert shown.shape == (448, 608, 3) and 20 < shown.mean() < 235
