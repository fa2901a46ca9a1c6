"""Which pixels of the ground truth count."""

import json

import numpy as np
import pytest

from evaluation.protocols import MASKS, depth_protocol, pose_protocol, segmentation_protocol


def test_the_garg_window_of_a_kitti_image_is_the_customary_one():
    valid = MASKS["kitti_zhou"].valid(np.full((375, 1242), 10, np.float32))
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (153, 371, 44, 1197)
    assert valid.sum() == (371 - 153) * (1197 - 44)


@pytest.mark.parametrize(
    "name, near, far", [("kitti_zhou", False, False), ("kitti_kitti", True, True), ("cityscapes", False, False)]
)
def test_ranges_are_open_and_kitti_kitti_has_no_upper_end(name, near, far):
    depth = np.full((10, 20), 5, np.float32)
    depth[5, 10:15] = 0, 1e-3, 80, 79.99, 200
    assert MASKS[name].valid(depth)[5, 10:15].tolist() == [False, near, far, True, far]


def test_protocols_hold_what_metrics_json_promises_and_fit_into_json():
    size = (192, 640)
    depth = depth_protocol("kitti_kitti", "kitti", ground_truth="raw", fixed_scaling=0.0, size=size)
    fixed = depth_protocol("kitti_zhou", "kitti", ground_truth="improved", fixed_scaling=31.5, size=size)
    others = [segmentation_protocol(ground_truth="labels", size=size), pose_protocol(ground_truth="poses", size=size)]
    for protocol in (depth, fixed, *others):
        assert {"ground_truth", "crop", "range", "scaling", "size", "flip"} <= set(protocol)
        json.dumps(protocol, allow_nan=False)
    assert depth["range"] == [0.0, None] and depth["scaling"] == "median per image"
    assert fixed["crop"] == "garg" and fixed["scaling"] == "fixed 31.5" and fixed["size"] == [192, 640]
