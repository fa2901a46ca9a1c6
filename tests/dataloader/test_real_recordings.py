"""Real KITTI and Cityscapes frames through the whole data path."""

import numpy as np
import pytest
import torch

from dataloader.batch import to_device
from dataloader.loaders import build_evaluation
from tests import real_data
from tests.dataloader import tiny
from tests.dataloader.tiny import build_training

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture
def options(tmp_path):
    root = real_data.dataset_folder(tmp_path / "data")
    sizes = {
        "depth_resize_height": 64,
        "depth_resize_width": 192,
        "segmentation_resize_height": 128,
        "segmentation_resize_width": 288,
        "segmentation_crop_height": 64,
        "segmentation_crop_width": 192,
        "train_batches_per_epoch": 2,
    }
    return tiny.options(root, checkpoint_dir=str(tmp_path / "runs"), **sizes)


def test_real_recordings_make_training_batches(options):
    data = build_training(options)
    assert data.lengths == (48, 5)
    depth, segmentation = (to_device(raw, "cpu") for raw in next(iter(data.epoch(0))))
    assert depth.inputs[-1].shape == (2, 3, 64, 192)
    motion = (depth.images[0] - depth.images[1]).abs().mean()
    assert 0.001 < motion < 0.2  # neighbours resemble each other
    ids = set(segmentation.labels.unique().tolist())
    assert ids <= {*range(19), 255} and {0, 13} & ids


def test_real_scans_are_ground_truth_and_kept_below_the_runs(options, tmp_path):
    before = sorted(path for path in (tmp_path / "data").rglob("*"))
    options.depth_validation_loaders = ("kitti_zhou_test", "kitti_zhou_validation")
    scanned, partly = build_evaluation(options, "depth")
    assert (len(scanned.samples), scanned.skipped) == (20, 0)
    assert (len(partly.samples), partly.skipped) == (3, 7)
    truth = next(iter(scanned)).truth[0]
    assert truth.image.shape == (375, 1242, 3) and truth.depth.shape == (375, 1242)
    assert 15000 < np.count_nonzero(truth.depth) < 25000
    assert np.count_nonzero(truth.depth[:100]) < 300 and 60 < truth.depth.max() < 85
    assert len(list((tmp_path / "runs").rglob("*.png"))) == 1
    assert sorted(path for path in (tmp_path / "data").rglob("*")) == before


def test_road_pixels_of_a_scan_lie_on_a_plane_below_the_camera(options):
    (data,) = build_evaluation(options, "depth")
    depth = next(iter(data)).truth[0].depth
    rows, columns = np.nonzero(depth)
    road = (rows > 300) & (abs(columns - 609) < 100) & (depth[rows, columns] > 6)
    height = depth[rows, columns] * (rows - 172.854) / 721.5377  # metres below the camera
    assert np.median(height[road]) == pytest.approx(1.65, abs=0.1)


def test_real_batches_do_not_depend_on_workers(options):
    alone = next(iter(build_training(options).epoch(1)))
    options.sys_num_workers = 2
    data = build_training(options)
    together = next(iter(data.epoch(1)))
    data.close()
    assert all(
        torch.equal(a.images, b.images) and torch.equal(a.jitter, b.jitter)
        for a, b in zip(alone, together, strict=True)
    )
