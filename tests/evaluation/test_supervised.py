"""How depth in metres is judged: the numbers of Spatial-KD, LapDepth and SD-ConvTrans, and what they look at."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from evaluation.depth import METRICS, evaluate_depth
from evaluation.protocols import CROPS, DEPTH_PROTOCOLS, DepthProtocol, describe_depth
from models.lapdepth import LapDepth
from models.spatial_kd import SpatialKD
from perspective_resample.depth import DepthMap
from perspective_resample.input_view import NYU_OF_LAPDEPTH, NYU_OF_SPATIAL_KD, InputView, view_of
from tests import golden
from tests.evaluation.test_depth import make_batch

KITTI, NYU = DEPTH_PROTOCOLS["kitti_annotated"], DEPTH_PROTOCOLS["nyu"]
AS_IT_IS = InputView(resized=False)


def judged(truths: list[np.ndarray], predictions: list[np.ndarray], protocol: DepthProtocol) -> dict[str, float]:
    """Metrics of predictions in metres, each of the part of its image that the network is shown."""
    left = iter(predictions)

    def predict(images: torch.Tensor) -> SimpleNamespace:
        prediction = next(left)
        assert not protocol.view.partial or images.shape[-2:] == prediction.shape
        return SimpleNamespace(depth=DepthMap(torch.from_numpy(prediction)[None, None], inverse=False, known="metres"))

    return evaluate_depth(predict, [make_batch([truth]) for truth in truths], protocol).metrics


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "crop", "cap"),
    [
        ("kitti_cap80_garg", "garg", 80.0),
        ("kitti_cap50_garg", "garg", 50.0),
        ("kitti_cap80_nocrop", "none", 80.0),
        ("kitti_cap80_eigen", "eigen", 80.0),
    ],
)
def test_metrics_on_what_kitti_loaders_cut_out_are_the_published_ones(name, crop, cap):
    meta, want = golden.load("spatialkd_metrics")
    shape = (2, 1, 352, 1216)
    truth = np.clip(90 * golden.uniform(300, *shape), 0, 80)
    truth[golden.uniform(301, *shape) < 0.8] = 0
    found = np.maximum(truth, 1) * (0.6 + 0.9 * golden.uniform(302, *shape)) + 0.2
    rows, columns = CROPS[crop]
    protocol = replace(KITTI, rows=rows, columns=columns, maximum=cap, clamp=(1e-3, cap), view=AS_IT_IS)
    metrics = judged([*truth[:, 0]], [*found[:, 0]], protocol)
    np.testing.assert_allclose([metrics[key] for key in meta["order"]["kitti"]], want[name], rtol=1e-5)


@pytest.mark.golden
@pytest.mark.parametrize(("name", "view"), [("nyu_kd", NYU_OF_SPATIAL_KD), ("nyu_lap", NYU_OF_LAPDEPTH)])
def test_metrics_of_nyu_are_the_published_ones_through_either_window(name, view):
    meta, want = golden.load("spatialkd_metrics")
    shape = (2, 1, 480, 640)
    truth = np.clip(10.5 * golden.uniform(305, *shape), 0, 10)
    truth[golden.uniform(306, *shape) < 0.2] = 0
    found = np.maximum(truth, 0.3) * (0.6 + 0.9 * golden.uniform(307, *shape))
    rows, columns = view.window((480, 640))
    metrics = judged([*truth[:, 0]], [*found[:, 0, rows, columns]], replace(NYU, view=view))
    np.testing.assert_allclose([metrics[key] for key in meta["order"][name]], want[name], rtol=1e-5)


@pytest.mark.golden
def test_metrics_of_depth_without_gaps_are_the_released_ones_with_a_true_logarithm():
    _, want = golden.load("sdconvtrans_metrics")
    truths = [10 * (0.9 * golden.uniform(800 + i, 48, 64) + 0.05) for i in range(3)]
    small = [torch.from_numpy(0.9 * golden.uniform(900 + i, 1, 1, 12, 16) + 0.05) for i in range(3)]
    found = [10 * interpolate(each, (48, 64), mode="bilinear")[0, 0].numpy() for each in small]
    metrics = judged(truths, found, replace(DEPTH_PROTOCOLS["nyu_full_dense"], view=AS_IT_IS))
    names = ("rmse_pooled", "abs_rel", "log10", "rmse_log_pooled", "a1", "a2", "a3")
    released = [metrics[name] * (np.log(10) if name == "log10" else 1) for name in names]
    np.testing.assert_allclose(released, want["released"], rtol=1e-5)
    assert metrics["rmse"] < metrics["rmse_pooled"] and {*METRICS} < {*metrics}


def test_only_a_protocol_that_asks_for_it_pools():
    truth = [np.full((48, 64), 4, np.float32)]
    assert "rmse_pooled" not in judged(truth, truth, KITTI)


def test_metres_are_not_scaled_unless_that_is_asked_for():
    truth = [np.full((48, 64), 4, np.float32)]
    assert judged(truth, [2 * truth[0]], KITTI)["abs_rel"] == 1
    assert judged(truth, [2 * truth[0]], replace(KITTI, alignment="median"))["abs_rel"] == 0


def test_the_window_of_garg_is_taken_of_the_part_that_was_cut_out():
    valid = KITTI.valid(np.full((352, 1216), 10, np.float32))
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (143, 349, 43, 1172)


def test_how_a_network_sees_images_follows_from_what_it_says_of_itself():
    class Network:
        pass

    network = Network()
    assert view_of(network, "kitti") == InputView()
    network.input_fit, network.size_divisor = "multiple", 32
    assert view_of(network, "kitti") == InputView(resized=False, multiple=32)
    network.views = {"nyu_v2": NYU_OF_SPATIAL_KD}
    assert view_of(network, "nyu_v2") == NYU_OF_SPATIAL_KD and view_of(network, "kitti").multiple == 32
    network.view = AS_IT_IS
    assert view_of(network, "kitti") == AS_IT_IS


def test_images_of_any_size_are_brought_to_the_nearest_multiple_and_their_depth_back():
    seen = []

    def predict(images: torch.Tensor) -> SimpleNamespace:
        seen.append(tuple(images.shape[-2:]))
        return SimpleNamespace(depth=DepthMap(torch.full((1, 1, *seen[-1]), 4.0), inverse=False, known="metres"))

    batches = [make_batch([np.full(size, 4, np.float32)]) for size in ((50, 75), (64, 96), (10, 90))]
    protocol = replace(KITTI, view=InputView(resized=False, multiple=32))
    assert evaluate_depth(predict, batches, protocol).metrics["abs_rel"] < 1e-6
    assert seen == [(64, 64), (64, 96), (32, 96)]


def test_a_window_is_of_the_size_it_was_measured_in():
    assert NYU_OF_SPATIAL_KD.window((480, 640)) == (slice(24, 472), slice(40, 616))
    assert NYU_OF_LAPDEPTH.window((480, 640)) == (slice(42, 474), slice(40, 616))
    assert NYU_OF_SPATIAL_KD.window((240, 320)) == (slice(12, 236), slice(20, 308))
    assert (NYU_OF_SPATIAL_KD.partial, AS_IT_IS.partial) == (True, False)


def test_a_window_of_images_of_another_size_comes_to_sides_that_its_network_takes():
    for view, divisor in ((NYU_OF_SPATIAL_KD, SpatialKD.size_divisor), (NYU_OF_LAPDEPTH, LapDepth.size_divisor)):
        for size in ((480, 640), (240, 320), (427, 561)):
            rows, columns = view.window(size)
            part = (rows.stop - rows.start, columns.stop - columns.start)
            assert not any(side % divisor for side in view.input_size(part))
            assert size != (480, 640) or view.input_size(part) == part


def test_what_was_looked_at_is_said_in_the_protocol():
    about = {"ground_truth": "nyu_v2", "alignment": "none", "fixed_scaling": 0.0, "size": (192, 640), "network": {}}
    said = describe_depth(replace(NYU, view=NYU_OF_SPATIAL_KD), **about)
    assert said["crop"] == "NYU and rows 24 to 472, columns 40 to 616" and said["size"] == "that of the image"
    assert (said["scaling"], said["flip"]) == ("none", False)
    assert describe_depth(NYU, **about)["size"] == [192, 640]
