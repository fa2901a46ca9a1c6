"""Validation that nobody asked for gives way to what is there, and a warning says so."""

from __future__ import annotations

import logging
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from dataloader.fallback import settle_validation
from tests.dataloader import tiny


@pytest.fixture(scope="module")
def data(street, tmp_path_factory) -> Path:
    """The street with Zhou's lists alone."""
    folder = tmp_path_factory.mktemp("fallback") / "data"
    shutil.copytree(street, folder, ignore=shutil.ignore_patterns("kitti_kitti_split", "cityscapes"))
    return folder


def settled(data: Path | str, said: tuple[str, ...] = (), **changes: object) -> Namespace:
    options = {
        "depth_training_loaders": ("kitti_zhou_train",),
        "segmentation_training_loaders": ("cityscapes_train",),
        "depth_validation_loaders": ("kitti_kitti_validation",),
        "segmentation_validation_loaders": ("cityscapes_validation",),
        "checkpoint_dir": "",
        "data_folder": "",
        "data_validation_share": 0.0,
        "data_intrinsics": (),
        "frame_step": 1,
    }
    args = Namespace(**{**options, **changes}, dataset_dir=str(data), depth_gt="raw", said=said)
    settle_validation(args, ("depth", "segmentation"))
    return args


def test_the_validation_part_of_the_training_split_takes_its_place(data, caplog):
    args = settled(data)
    assert args.depth_validation_loaders == ("kitti_zhou_validation",) and args.segmentation_validation_loaders == ()
    depth, segmentation = (record.getMessage() for record in caplog.records)
    assert depth.startswith("--depth-validation-loaders: not given, and kitti_kitti_validation is not there; ")
    assert depth.endswith("kitti_zhou_validation is measured")
    assert segmentation.endswith("cityscapes_validation is not there; nothing is measured after the epochs")


def test_without_ground_truth_nothing_is_measured(data, tmp_path):
    ignored = shutil.ignore_patterns("velodyne_points", "Depth*")
    shutil.copytree(data, tmp_path / "data", ignore=ignored)
    assert settled(tmp_path / "data").depth_validation_loaders == ()


def test_what_was_said_or_is_there_stays(data, street, caplog):
    both = ("depth_validation_loaders", "segmentation_validation_loaders")
    assert settled(data, said=both).depth_validation_loaders == ("kitti_kitti_validation",)
    assert settled(street).segmentation_validation_loaders == ("cityscapes_validation",)
    assert settled("nowhere").depth_validation_loaders == ("kitti_kitti_validation",)
    assert not caplog.records


def test_training_on_own_data_alone_needs_no_folder_of_data_sets():
    own = {"depth_training_loaders": ("folder_train",), "segmentation_training_loaders": ()}
    assert settled("", data_folder=".", **own).depth_validation_loaders == ()


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_own_data_that_are_not_there_are_no_part_without_depth(folder, street, caplog):
    own = {"depth_training_loaders": ("folder_train",), "data_folder": folder, "data_validation_share": 0.1}
    settled(street, **own)
    assert not caplog.records


def test_own_data_are_measured_on_the_part_that_they_keep_where_it_has_depth(street, tmp_path, caplog):
    for number in range(10):
        tiny.save(tmp_path / f"{number}.png", tiny.picture(number))
    own = {
        "depth_training_loaders": ("folder_train",),
        "segmentation_training_loaders": (),
        "segmentation_validation_loaders": (),
        "data_folder": str(tmp_path),
        "data_validation_share": 0.2,
    }
    with caplog.at_level(logging.INFO):
        assert settled(street, **own).depth_validation_loaders == ()
        own |= {"data_intrinsics": (40.0, 40.0, 40.0, 12.0), "data_validation_share": 0.3}
        assert settled(street, **own).depth_validation_loaders == ("folder_video_validation",)
        stills = own | {"depth_training_loaders": ("folder_depth_train",)}
        assert settled(street, **stills).depth_validation_loaders == ()
        tiny.save(tmp_path / "depth/9.png", np.full(tiny.SIZE, 512, np.uint16))
        assert settled(street, **own).depth_validation_loaders == ("folder_validation",)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("--")]
    nothing = "--depth-validation-loaders: not given, and the part of own data that is kept for it holds nothing to "
    nothing += "measure by; nothing is measured after the epochs"
    measured = "--depth-validation-loaders: not given, {} is measured"
    assert told == [nothing, measured.format("folder_video_validation"), nothing, measured.format("folder_validation")]
    levels = [record.levelname for record in caplog.records if record.getMessage() in told]
    assert levels == ["WARNING", "INFO", "WARNING", "INFO"]
