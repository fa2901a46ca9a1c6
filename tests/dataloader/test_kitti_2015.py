"""KITTI 2015 as downloaded and with index files."""

from pathlib import Path

import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.files import read_depth, read_labels
from dataloader.splits import resolve, truth_kind, with_truth
from errors import UserError
from tests.dataloader import tiny

DEPTH = find_loader("depth", "kitti_2015_train")
SEGMENTATION = find_loader("segmentation", "kitti_2015_train")


def download(root: Path, count: int = 3) -> Path:
    training = root / "kitti_2015/training"
    for number in range(count):
        for frame in (10, 11):
            tiny.save(training / f"image_2/{number:06d}_{frame}.png", tiny.picture(number))
        disparity = np.full(tiny.SIZE, (number + 1) * 256, np.uint16)
        disparity[0] = 0
        tiny.save(training / f"disp_occ_0/{number:06d}_10.png", disparity)
        tiny.save(training / f"semantic/{number:06d}_10.png", np.full(tiny.SIZE, 7 + number, np.uint8))
        calibration = training / "calib_cam_to_cam" / f"{number:06d}.txt"
        tiny.kitti_calibration(calibration.parent)
        (calibration.parent / "calib_cam_to_cam.txt").rename(calibration)
    return root


def test_a_plain_download_gives_depth_from_disparity_paired_by_name(tmp_path):
    samples = resolve(DEPTH, download(tmp_path))
    assert [sample.name for sample in samples] == ["000000_10", "000001_10", "000002_10"]
    for number, sample in enumerate(samples):
        depth = read_depth(sample.depth)
        assert not depth[0].any()
        np.testing.assert_allclose(depth[1:], 0.54 * tiny.FOCAL / (number + 1), atol=1 / 256)


def test_released_numbers_use_the_focal_length_before_rectification(tmp_path):
    sample = resolve(DEPTH, download(tmp_path), as_released=True)[0]
    np.testing.assert_allclose(read_depth(sample.depth)[1:], 0.54 * tiny.FOCAL * 1.25, atol=1 / 256)


def test_published_maps_serve_where_there_is_no_disparity(tmp_path):
    download(tmp_path, 1)
    training = tmp_path / "kitti_2015/training"
    tiny.save(training / "depth_occ_0/000000_10.png", np.full(tiny.SIZE, 9 * 256, np.uint16))
    assert read_depth(resolve(DEPTH, tmp_path)[0].depth).max() == pytest.approx(21.6, abs=0.01)
    (training / "disp_occ_0/000000_10.png").unlink()
    assert read_depth(resolve(DEPTH, tmp_path)[0].depth).max() == 9


def published(root: Path) -> None:
    """Stored depth maps and the index file that names them."""
    for number in range(3):
        depth = np.full(tiny.SIZE, (20 + number) * 256, np.uint16)
        tiny.save(root / f"kitti_2015/training/depth_occ_0/{number:06d}_10.png", depth)
    folders = {"color": "image_2", "depth": "depth_occ_0", "segmentation": "semantic"}
    columns = {
        name: [f"training/{folder}/{number:06d}_10.png" for number in range(3)] for name, folder in folders.items()
    }
    tiny.index_files(root, columns, [0, 2], basic="kitti_2015", part="kitti_2015/train.json")


def greatest(samples: list) -> list[float]:
    return [float(read_depth(sample.depth).max()) for sample in samples]


def test_an_index_file_chooses_images_but_depth_is_computed(tmp_path, caplog):
    published(download(tmp_path))
    with caplog.at_level("INFO"):
        samples = resolve(DEPTH, tmp_path)
    assert greatest(samples) == pytest.approx([21.6, 7.2], abs=1 / 256) and not caplog.text
    assert truth_kind(DEPTH, samples) == "kitti_2015 rectified"
    assert [Path(sample.labels).stem for sample in resolve(SEGMENTATION, tmp_path)] == ["000000_10", "000002_10"]


def test_an_index_file_without_the_truth_of_an_image_still_names_it(tmp_path):
    published(download(tmp_path))
    for category in ("depth", "segmentation"):
        tiny.without_last(tmp_path / "kitti_2015/train.json", category)
    assert greatest(resolve(DEPTH, tmp_path)) == pytest.approx([21.6, 7.2], abs=1 / 256)
    assert [bool(sample.labels) for sample in resolve(SEGMENTATION, tmp_path)] == [True, False]


def test_released_numbers_come_from_the_stored_maps(tmp_path):
    published(download(tmp_path))
    samples = resolve(DEPTH, tmp_path, as_released=True)
    assert greatest(samples) == [20, 22]
    assert truth_kind(DEPTH, samples, as_released=True) == "kitti_2015 as released"


def test_stored_maps_fill_in_and_are_told(tmp_path, caplog):
    published(download(tmp_path))
    training = tmp_path / "kitti_2015/training"
    (training / "disp_occ_0/000002_10.png").unlink()
    with caplog.at_level("INFO"):
        samples = resolve(DEPTH, tmp_path)
    assert greatest(samples) == pytest.approx([21.6, 22], abs=1 / 256)
    assert "stored depth maps serve 1 of 2 images" in caplog.text
    assert truth_kind(DEPTH, samples) == "kitti_2015 rectified and stored maps"
    (training / "calib_cam_to_cam/000000.txt").unlink()
    samples = resolve(DEPTH, tmp_path)
    assert greatest(samples) == [20, 22] and truth_kind(DEPTH, samples) == "kitti_2015 stored maps"


def test_missing_indexed_images_can_be_left_out(tmp_path, caplog):
    published(download(tmp_path))
    (tmp_path / "kitti_2015/training/image_2/000000_10.png").unlink()
    assert [sample.name for sample in resolve(DEPTH, tmp_path, drop=True)] == ["000002_10"]
    assert "1 of 2 samples left out for 1 missing file" in caplog.text


def test_labels_are_label_ids(tmp_path):
    samples = resolve(SEGMENTATION, download(tmp_path))
    assert [read_labels(sample.labels, sample.labels_mode).max() for sample in samples] == [0, 1, 255]


def test_images_without_truth_are_skipped_and_none_left_is_an_error(tmp_path):
    download(tmp_path)
    (tmp_path / "kitti_2015/training/disp_occ_0/000001_10.png").unlink()
    assert len(with_truth(DEPTH, resolve(DEPTH, tmp_path))) == 2
    for path in (tmp_path / "kitti_2015/training/calib_cam_to_cam").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="none of its 3 frames has depth; unpack data_scene_flow.zip and"):
        with_truth(DEPTH, resolve(DEPTH, tmp_path))


def test_missing_folders_and_indexed_images_are_named(tmp_path):
    with pytest.raises(UserError, match="kitti_2015: no such folder"):
        resolve(DEPTH, tmp_path)
    (tmp_path / "kitti_2015").mkdir()
    with pytest.raises(UserError, match="no images in training/image_2"):
        resolve(DEPTH, tmp_path)
    columns = {"color": ["training/image_2/000000_10.png"]}
    tiny.index_files(tmp_path, columns, [0], basic="kitti_2015", part="kitti_2015/train.json")
    with pytest.raises(UserError, match=r"train\.json: 1 missing file"):
        resolve(DEPTH, tmp_path)
