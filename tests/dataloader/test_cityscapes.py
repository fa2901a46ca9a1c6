"""Cityscapes as downloaded and with index files."""

from pathlib import Path

import pytest

from dataloader.catalog import find_loader
from dataloader.splits import resolve, with_truth
from errors import UserError
from tests.dataloader import tiny

TRAIN = find_loader("segmentation", "cityscapes_train", training=True)
VALIDATION = find_loader("segmentation", "cityscapes_validation")


def test_a_plain_download_pairs_images_and_labels_by_name(tmp_path):
    samples = resolve(TRAIN, tiny.cityscapes(tmp_path))
    assert [sample.name for sample in samples] == [f"ahrendorf_{index:06d}_000019" for index in range(4)]
    assert all(Path(sample.labels).name == f"{sample.name}_gtFine_labelIds.png" for sample in samples)
    assert samples[0].intrinsics == (1.10, 2.21, 0.5, 0.5)
    assert [sample.name for sample in resolve(VALIDATION, tmp_path)] == ["zellstadt_000000_000019"]


def test_images_without_labels_are_skipped(tmp_path):
    tiny.cityscapes(tmp_path)
    (tmp_path / "cityscapes/gtFine/train/ahrendorf/ahrendorf_000002_000019_gtFine_labelIds.png").unlink()
    samples = resolve(TRAIN, tmp_path)
    assert (len(samples), len(with_truth(TRAIN, samples))) == (4, 3)


def test_index_files_decide_where_they_exist(tmp_path):
    tiny.cityscapes(tmp_path)
    scenes = [f"train/ahrendorf/ahrendorf_{index:06d}_000019" for index in range(4)]
    columns = {
        "color": [f"leftImg8bit/{scene}_leftImg8bit.png" for scene in scenes],
        "segmentation": [f"gtFine/{scene}_gtFine_labelIds.png" for scene in scenes],
    }
    tiny.index_files(tmp_path, columns, [1, 3], basic="cityscapes", part="cityscapes/train.json")
    assert [sample.name[10:16] for sample in resolve(TRAIN, tmp_path)] == ["000001", "000003"]
    tiny.without_last(tmp_path / "cityscapes/train.json", "segmentation")
    assert [bool(sample.labels) for sample in resolve(TRAIN, tmp_path)] == [True, False]
    (tmp_path / "cityscapes" / columns["segmentation"][1]).unlink()
    with pytest.raises(UserError, match=r"train\.json: 1 missing file: .*_000001_.*labelIds"):
        resolve(TRAIN, tmp_path)


def test_jpeg_copies_serve_as_images(tmp_path):
    tiny.save(tmp_path / "cityscapes/leftImg8bit/train/a/a_000000_000019_leftImg8bit.jpg", tiny.picture(0))
    assert resolve(TRAIN, tmp_path)[0].images[0].endswith(".jpg")


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="cityscapes: no such folder"):
        resolve(TRAIN, tmp_path)
    (tmp_path / "cityscapes/leftImg8bit/test").mkdir(parents=True)
    with pytest.raises(UserError, match="no images in leftImg8bit/train"):
        resolve(TRAIN, tmp_path)
