"""How depth is judged on NYU and Make3D: published numbers, windows, and further metrics."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evaluation.depth import METRICS, depth_metrics, evaluate_depth
from evaluation.protocols import DEPTH_PROTOCOLS
from perspective_resample.depth import DepthMap
from tests import golden
from tests.evaluation.test_depth import make_batch


def make3d_truth(i: int) -> np.ndarray:
    depth = 2 + 78 * golden.uniform(731 + i, 21, 305)
    depth[::5, ::7] = 0
    return depth


def nyu_truth(i: int) -> np.ndarray:
    depth = 0.5 + 10 * np.kron(golden.uniform(741 + i, 61, 51), np.ones((7, 11), np.float32))
    depth[::3, ::4] = 0
    return depth


@pytest.mark.golden
@pytest.mark.parametrize(
    "protocol, truth, lowest, columns",
    [
        ("make3d", make3d_truth, 0.01, ("abs_rel", "sq_rel", "rmse", "rmse_log10")),
        ("nyu_struct", nyu_truth, 0.1, METRICS),
    ],
)
def test_metrics_are_the_published_ones(protocol, truth, lowest, columns):
    _, want = golden.load("depth_metrics")
    disparities = iter(lowest + (10 - lowest) * torch.from_numpy(want["pred_sigmoid"]))

    def predict(_: torch.Tensor) -> SimpleNamespace:
        values = next(disparities)[None, None]
        return SimpleNamespace(depth=DepthMap(values, inverse=True, known="up to scale"))

    count = len(want["pred_sigmoid"])
    batches = [make_batch([truth(i).astype(np.float32)]) for i in range(count)]
    result = evaluate_depth(predict, batches, DEPTH_PROTOCOLS[protocol])
    found = [[row[name] for name in columns] for row in result.rows]
    expected = want["make3d_f64" if protocol == "make3d" else "nyu_f64"]
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_the_window_of_labelled_nyu_images_is_the_customary_one():
    valid = DEPTH_PROTOCOLS["nyu"].valid(np.full((480, 640), 5, np.float32))
    rows, columns = np.flatnonzero(valid.any(1)), np.flatnonzero(valid.any(0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (45, 471, 41, 601)
    assert valid.sum() == (471 - 45) * (601 - 41)


@pytest.mark.parametrize("name, near", [("nyu", False), ("nyu_struct", True), ("make3d", True)])
def test_ranges_are_open(name, near):
    row = DEPTH_PROTOCOLS[name]
    depth = np.full((480, 640), 5, np.float32)
    depth[100, 100:104] = 0, 1e-3, row.maximum, row.maximum - 0.01
    assert row.valid(depth)[100, 100:104].tolist() == [False, near, False, True]


def test_further_metrics_of_two_pixels_are_what_one_computes_by_hand():
    truth, prediction = torch.tensor([2.0, 10.0]), torch.tensor([3.0, 8.0])
    found = depth_metrics(truth, prediction, ("log10", "abs_diff", "rmse_log10"))
    logarithms = np.log10([1.5, 0.8])
    expected = [np.abs(logarithms).mean(), 1.5, np.sqrt((logarithms**2).mean())]
    np.testing.assert_allclose(found[7:].numpy(), expected, rtol=1e-12)
    assert (found[:7] == depth_metrics(truth, prediction)).all()


@pytest.mark.parametrize(
    "known, protocol, further",
    [
        ("metres", "kitti_zhou", ("abs_diff", "log10")),
        ("up to scale", "kitti_zhou", ()),
        ("metres", "nyu", ("abs_diff", "log10")),
        ("up to scale", "nyu_struct", ("abs_diff", "log10")),
        ("metres", "make3d", ("rmse_log10", "abs_diff", "log10")),
    ],
)
def test_what_a_protocol_and_a_prediction_in_metres_add(known, protocol, further):
    batch = make_batch([np.full((48, 64), 4, np.float32)])

    def predict(_: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(depth=DepthMap(torch.full((1, 1, 4, 6), 5.0), inverse=False, known=known))

    def with_an_idle_rank(work):
        batches = [work()]
        idle = evaluate_nothing(protocol)
        return [idle, *batches]

    result = evaluate_depth(predict, [batch], DEPTH_PROTOCOLS[protocol], everywhere=with_an_idle_rank)
    assert tuple(result.metrics) == (*METRICS, *further) == tuple(result.rows[0])[1:-1]
    assert all(np.isfinite(value) for value in result.metrics.values())


def evaluate_nothing(protocol: str):
    """What a rank finds that has no images."""
    found = []

    def catch(work):
        found.append(work())
        raise StopIteration

    with pytest.raises(StopIteration):
        evaluate_depth(lambda _: None, [], DEPTH_PROTOCOLS[protocol], everywhere=catch)
    return found[0]


def test_nearest_takes_the_pixel_below_without_rounding_of_the_quotient():
    for given in (7, 24, 192, 288, 480):
        values = torch.arange(given, dtype=torch.float32).view(1, 1, given, 1)
        for wanted in (21, 55, 305, 427, 561):
            found = DepthMap(values, inverse=True, known="up to scale").at((wanted, 1), "nearest").values
            assert found.flatten().tolist() == [i * given // wanted for i in range(wanted)]
