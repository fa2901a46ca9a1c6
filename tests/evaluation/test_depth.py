"""Depth metrics: the published numbers, and what must hold whatever the numbers are."""

import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from errors import UserError
from evaluation.alignment import median
from evaluation.depth import METRICS, constant_depth, depth_metrics, evaluate_depth
from evaluation.protocols import DEPTH_PROTOCOLS
from models.prediction import Outputs
from tests import golden

ALL = DEPTH_PROTOCOLS["kitti_kitti"]
RANGE = (0.1, 100.0)


def make_batch(depths: list[np.ndarray]) -> SimpleNamespace:
    truth = tuple(
        SimpleNamespace(name=f"image {i}", image=np.zeros((*depth.shape, 3), np.uint8), depth=depth)
        for i, depth in enumerate(depths)
    )
    images = torch.zeros(len(depths), 3, 24, 80)
    return SimpleNamespace(spec=SimpleNamespace(domain="test_depth"), inputs={0: images}, truth=truth)


def answers(*disps: np.ndarray | Tensor, depth_range: tuple[float, float] = RANGE):
    """A network that says these disparities, one batch after the other."""
    queue = iter(disps)
    return lambda _: Outputs(disp={0: torch.as_tensor(next(queue))}).prediction(depth_range)


def sparse_truth(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    random = np.random.RandomState(seed)
    depth = random.uniform(2, 79, (height, width)).astype(np.float32)
    return np.where(random.random_sample(depth.shape) < 0.3, depth, 0).astype(np.float32)


def golden_inputs(meta: dict) -> tuple[list[np.ndarray], list[np.ndarray], tuple[float, float], float]:
    inputs = meta["inputs"]
    base, step, largest, share = (
        float(re.search(pattern, inputs["ground truth of image i"])[1])
        for pattern in (r"uniform\((\d+)\+", r"\+(\d+)i,", r"g = (\d+)\*", r"> ([\d.]+)\]")
    )
    offset, factor = map(float, re.match(r"([\d.]+) \+ ([\d.]+)\*", inputs["network disparity of image i"]).groups())
    low, high = map(float, inputs["depth range"].split(".."))
    truths, disps = [], []
    for i, (height, width) in enumerate(inputs["image sizes (H,W)"]):
        seed = int(base + step * i)
        truth = np.float32(largest) * golden.uniform(seed, 1, 1, height, width)
        truth[golden.uniform(seed + 1, 1, 1, height, width) > share] = 0
        truths.append(truth[0, 0])
        disps.append(offset + factor * golden.uniform(seed + 2, 1, 1, *inputs["network output size"]))
    fixed = inputs["fixed scaling of the *_fixed variants"]
    return truths, disps, (low, high), fixed


@pytest.mark.parametrize("name", ["kitti_zhou", "kitti_kitti", "cityscapes"])
@pytest.mark.parametrize("kind", ["", "_fixed"])
def test_metrics_match_the_published_code(name, kind):
    meta, want = golden.load("sgdepth_depth_metrics")
    truths, disps, limits, fixed = golden_inputs(meta)
    batches = [make_batch([truth]) for truth in truths]
    predict = answers(*disps, depth_range=limits)
    result = evaluate_depth(predict, batches, DEPTH_PROTOCOLS[name], fixed_scaling=fixed if kind else 0.0)
    np.testing.assert_allclose(result.values, want[f"{name}{kind}_per_image"], rtol=1e-6)
    np.testing.assert_allclose(list(result.metrics.values()), want[f"{name}{kind}_mean"], rtol=1e-6)
    np.testing.assert_allclose(result.ratios, want[f"{name}{kind}_ratios"], rtol=1e-6)
    assert [metric.replace("a", "delta") if len(metric) == 2 else metric for metric in METRICS] == meta["outputs"][
        "columns"
    ]


def test_metrics_of_two_pixels_are_what_one_computes_by_hand():
    found = depth_metrics(torch.tensor([2.0, 10.0]), torch.tensor([3.0, 8.0]))
    rmse_log = math.sqrt((math.log(1.5) ** 2 + math.log(1.25) ** 2) / 2)
    expected = [(0.5 + 0.2) / 2, (0.5 + 0.4) / 2, math.sqrt(2.5), rmse_log, 0, 1, 1]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert found.dtype == torch.float64


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_median_is_that_of_numpy(count):
    values = np.random.RandomState(count).random_sample(count).astype(np.float32)
    assert median(torch.from_numpy(values)).item() == np.median(values)


def test_disparity_is_resized_before_it_is_inverted():
    drawn = []
    predict = answers(torch.tensor([[[[0.0, 1.0]]]]), depth_range=(0.5, 2.0))
    evaluate_depth(predict, [make_batch([np.ones((1, 3), np.float32)])], ALL, on_image=lambda *what: drawn.append(what))
    assert drawn[0][2][0, 1].item() == pytest.approx(1 / ((1 / 0.5 + 1 / 2.0) / 2))


def test_median_scaling_forgives_every_factor_and_fixed_scaling_none():
    truth = sparse_truth(0)
    disp = np.random.RandomState(1).uniform(0.2, 0.8, (1, 1, 24, 80)).astype(np.float32)
    limits = (0.1, 1e9)  # without an offset a factor on disparity is one on depth
    scores = [
        evaluate_depth(answers(disp * factor, depth_range=limits), [make_batch([truth])], ALL) for factor in (1.0, 0.25)
    ]
    np.testing.assert_allclose(scores[0].values, scores[1].values, rtol=1e-4)
    assert scores[1].ratios / scores[0].ratios == pytest.approx(0.25, rel=1e-4)
    assert scores[0].alignment == "median" and scores[0].scaled
    predict, ratio = answers(disp * 0.25, depth_range=limits), float(scores[0].ratios[0])
    fixed = evaluate_depth(predict, [make_batch([truth])], ALL, fixed_scaling=ratio)
    assert fixed.alignment == "fixed" and fixed.scaled
    assert fixed.metrics["abs_rel"] > 1.5 * scores[0].metrics["abs_rel"]


def test_the_truth_itself_is_perfect():
    truth = np.random.RandomState(3).uniform(2, 50, (24, 80)).astype(np.float32)
    disp = (1 / truth - 1 / 100) / (1 / 0.1 - 1 / 100)
    metrics = evaluate_depth(answers(disp[None, None]), [make_batch([truth])], ALL).metrics
    assert metrics["abs_rel"] < 1e-5 and metrics["a1"] == 1


def test_any_constant_depth_scores_the_same():
    batch = make_batch([sparse_truth(4), sparse_truth(5, 30, 50)])
    found = evaluate_depth(constant_depth, [batch], ALL)
    other = evaluate_depth(answers(torch.full((2, 1, 24, 80), 0.01)), [batch], ALL)
    np.testing.assert_allclose(found.values, other.values, rtol=1e-5)


def test_batches_of_images_of_different_size_score_as_single_images():
    truths = [sparse_truth(6), sparse_truth(7, 31, 52), sparse_truth(8, 44, 61)]
    disps = np.random.RandomState(9).uniform(0.1, 0.9, (3, 1, 24, 80)).astype(np.float32)
    together = evaluate_depth(answers(disps), [make_batch(truths)], ALL)
    single = evaluate_depth(answers(*np.split(disps, 3)), [make_batch([truth]) for truth in truths], ALL)
    np.testing.assert_array_equal(together.values, single.values)


def test_images_without_a_valid_pixel_are_skipped_and_counted():
    seen = []
    batch = make_batch([sparse_truth(1), np.zeros((20, 30), np.float32), sparse_truth(2)])
    result = evaluate_depth(constant_depth, [batch], ALL, on_image=lambda *what: seen.append(what))
    assert result.skipped == 1 and result.names == ("image 0", "image 2")
    assert [position for position, *_ in seen] == [0, 1, 2]
    assert seen[1][2].shape == (20, 30)
    assert [ratio if ratio is None else ratio.item() for *_, ratio in seen] == [
        result.ratios[0],
        None,
        result.ratios[1],
    ]
    assert all(math.isfinite(value) for value in result.metrics.values())


def test_a_set_without_any_valid_pixel_is_the_users_mistake():
    with pytest.raises(UserError, match="test_depth: none of 1 images"):
        evaluate_depth(constant_depth, [make_batch([np.zeros((20, 30), np.float32)])], ALL)


def test_printed_and_logged_ratio_statistics_follow_their_definitions():
    truths = [sparse_truth(seed) for seed in range(8)]
    disps = np.random.RandomState(9).uniform(0.1, 0.9, (8, 1, 24, 80)).astype(np.float32)
    result = evaluate_depth(answers(disps), [make_batch(truths)], ALL)
    ratios = result.ratios
    assert result.scaling() == (np.median(ratios), np.std(ratios / np.median(ratios)))
    assert result.scaling(first_quarter=True) == (np.median(ratios[:2]), np.std(ratios[:2] / np.median(ratios[:2])))
    lower = np.sort(ratios)[3]
    scalars = result.scalars()
    assert scalars["ratio_median"] == lower
    assert scalars["ratio_norm_std"] == pytest.approx(np.std(ratios / lower, ddof=1))
    assert scalars["delta2"] == result.metrics["a2"] and "a2" not in scalars


def test_one_image_has_no_spread():
    result = evaluate_depth(constant_depth, [make_batch([sparse_truth(1)])], ALL)
    assert result.scaling(first_quarter=True)[1] == 0 and result.scalars()["ratio_norm_std"] == 0


def test_rows_carry_the_values_of_each_image():
    result = evaluate_depth(constant_depth, [make_batch([sparse_truth(1), sparse_truth(2)])], ALL)
    assert [row["name"] for row in result.rows] == ["image 0", "image 1"]
    assert result.rows[1]["a3"] == result.values[1, 6] and result.rows[0]["ratio"] == result.ratios[0]


def test_the_device_is_not_asked_before_the_last_image(monkeypatch):
    asked, copy = [], Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda scores: asked.append(tuple(scores.shape)) or copy(scores))
    monkeypatch.setattr(Tensor, "item", lambda _: pytest.fail("waits for the device"))
    evaluate_depth(constant_depth, [make_batch([sparse_truth(1), sparse_truth(2, 20, 30)]) for _ in range(3)], ALL)
    assert asked == [(6, 8)]
