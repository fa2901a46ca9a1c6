"""Which pixels of the ground truth count, and what is said of it."""

import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from dataloader.catalog import LOADERS
from errors import UserError
from evaluation.protocols import (
    CROPS,
    DEPTH_PROTOCOLS,
    DepthProtocol,
    build_protocol,
    describe_depth,
    pose_protocol,
    segmentation_protocol,
)
from perspective_resample.input_view import InputView


def test_every_depth_loader_names_a_row_and_rows_their_own_key():
    judged = [spec for spec in LOADERS.values() if spec.measure == "depth" and not spec.training]
    assert {spec.name for spec in LOADERS.values() if spec.purpose == "depth" and not spec.training} == {
        *(spec.name for spec in judged),
        "folder_video_validation",  # whose frames have no depth
    }
    assert judged and {spec.protocol for spec in judged} <= set(DEPTH_PROTOCOLS)
    assert all(name == row.name for name, row in DEPTH_PROTOCOLS.items())
    assert not any(spec.protocol for spec in LOADERS.values() if spec not in judged)


def test_the_garg_window_of_a_kitti_image_is_the_customary_one():
    valid = DEPTH_PROTOCOLS["kitti_zhou"].valid(np.full((375, 1242), 10, np.float32))
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (153, 371, 44, 1197)
    assert valid.sum() == (371 - 153) * (1197 - 44)


@pytest.mark.parametrize(
    "name, near, far", [("kitti_zhou", False, False), ("kitti_kitti", True, True), ("cityscapes", False, False)]
)
def test_ranges_are_open_and_kitti_kitti_has_no_upper_end(name, near, far):
    depth = np.full((10, 20), 5, np.float32)
    depth[5, 10:15] = 0, 1e-3, 80, 79.99, 200
    assert DEPTH_PROTOCOLS[name].valid(depth)[5, 10:15].tolist() == [False, near, far, True, far]


def test_protocols_hold_what_metrics_json_promises_and_fit_into_json():
    size = (192, 640)
    common = {"size": size, "network": {}}
    depth = describe_depth(
        DEPTH_PROTOCOLS["kitti_kitti"], ground_truth="raw", alignment="median", fixed_scaling=0.0, **common
    )
    fixed = describe_depth(
        DEPTH_PROTOCOLS["kitti_zhou"], ground_truth="improved", alignment="fixed", fixed_scaling=31.5, **common
    )
    others = [segmentation_protocol(ground_truth="labels", size=size), pose_protocol(ground_truth="poses", size=size)]
    for protocol in (depth, fixed, *others):
        assert {"ground_truth", "crop", "range", "scaling", "size", "flip"} <= set(protocol)
        json.dumps(protocol, allow_nan=False)
    assert depth["range"] == [0.0, None] and depth["scaling"] == "median per image"
    assert depth["name"] == "kitti_kitti" and depth["refinement"] == "none"
    assert (fixed["name"], fixed["crop"], fixed["scaling"]) == ("kitti_zhou", "garg", "fixed 31.5")
    assert fixed["size"] == [192, 640]


def test_what_a_network_says_of_itself_counts_more():
    protocol = replace(DEPTH_PROTOCOLS["kitti_zhou"], view=InputView(resized=False, crop=(352, 1216)))
    network = {"size": [352, 1216], "teacher": {"name": "one"}}
    common = {"ground_truth": "improved", "fixed_scaling": 0.0, "size": (192, 640), "network": network}
    found = describe_depth(protocol, alignment="none", **common)
    assert found["scaling"] == "none" and found["size"] == [352, 1216] and found["teacher"] == {"name": "one"}
    assert found["crop"] == "garg and 352 rows at the bottom, 1216 columns in the middle"
    found = describe_depth(replace(protocol, view=InputView()), alignment="least squares", **common)
    assert found["crop"] == "garg" and found["scaling"].startswith("least squares per image")


def build(usual: str, **changes: object) -> DepthProtocol:
    options = {"depth_protocol": "", "depth_crop": "protocol", "depth_cap": 0.0, "depth_camera": "protocol"}
    options |= {"eval_protocol": "", "metrics": ()}
    options |= {
        "post_process": False,
        "flip_average": False,
        "depth_alignment": "protocol",
        "depth_validation_fixed_scaling": 0.0,
    }
    return build_protocol(Namespace(**(options | changes)), usual)


def test_what_options_change_of_a_row_is_in_its_name():
    assert {"none", "garg", "eigen", "nyu"} <= set(CROPS)
    assert (
        build("kitti_zhou") == build("kitti_zhou", depth_crop="garg", depth_cap=80.0) == DEPTH_PROTOCOLS["kitti_zhou"]
    )
    found = build("kitti_zhou", depth_crop="eigen", depth_cap=50.0, depth_camera="right")
    assert found.name == "kitti_zhou with crop eigen, cap 50 m, right camera"
    assert (found.crop, found.maximum, found.clamp, found.camera) == ("eigen", 50.0, (1e-3, 50.0), "right")
    said = describe_depth(found, ground_truth="raw", alignment="median", fixed_scaling=0.0, size=(192, 640), network={})
    assert said["name"] == found.name and said["range"] == [1e-3, 50.0] and said["clamp"] == [1e-3, 50.0]
    assert (said["crop"], said["camera"]) == ("eigen", "right")
    found = build("kitti_zhou", post_process=True)
    said = describe_depth(found, ground_truth="raw", alignment="median", fixed_scaling=0.0, size=(192, 640), network={})
    assert (said["name"], said["flip"]) == ("kitti_zhou with post-processing", True)
    found = build("kitti_zhou", flip_average=True)
    assert (found.name, found.flip, found.blend) == ("kitti_zhou with flip averaging", True, False)
    with pytest.raises(UserError, match="--post-process and --flip-average: two ways"):
        build("kitti_zhou", flip_average=True, post_process=True)
    assert build("kitti_zhou", depth_protocol="cityscapes", depth_crop="none").name == "cityscapes with crop none"


def test_the_window_of_bts_for_a_kitti_image():
    valid = build("kitti_zhou", depth_crop="eigen").valid(np.full((375, 1242), 10, np.float32))
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (124, 342, 44, 1197)


@pytest.mark.parametrize("cap", [20.0, 200.0])
def test_a_cap_ends_truth_and_predictions(cap):
    found = build("kitti_kitti", depth_cap=cap)
    depth = np.array([[cap / 2, cap, 2 * cap]], np.float32)
    assert found.valid(depth).tolist() == [[True, False, False]] and found.clamp[1] == cap


def test_a_cap_below_all_depth_is_refused():
    with pytest.raises(UserError, match=r"--depth-cap 0\.001: depth counts from 0\.001 m on"):
        build("kitti_zhou", depth_cap=1e-3)


def test_how_predictions_are_scaled_may_be_asked_for():
    found = build("kitti_annotated", depth_alignment="median")
    assert (found.name, found.alignment) == ("kitti_annotated with alignment median", "median")
    assert build("kitti_zhou", depth_alignment="least-squares").alignment == "least squares"
    with pytest.raises(UserError, match="--depth-alignment median and --depth-validation-fixed-scaling: two ways to"):
        build("kitti_zhou", depth_alignment="median", depth_validation_fixed_scaling=5.4)
