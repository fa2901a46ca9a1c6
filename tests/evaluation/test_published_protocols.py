"""Whole protocols of Monodepth2 and BDEdepth on maps that their code has judged."""

import numpy as np
import pytest
import torch

from dataloader.catalog import find_loader
from evaluation.depth import evaluate_depth
from evaluation.protocols import DEPTH_PROTOCOLS, DepthProtocol
from tests import golden
from tests.evaluation.test_depth import answers, make_batch
from tests.evaluation.test_protocols import build

RELEASED = {"eval_protocol": "bdedepth_released"}


def judge(protocol: DepthProtocol, truths: list[np.ndarray], disps: np.ndarray, fixed_scaling: float = 0.0):
    """`disps` are (n, H, W) in [0, 1], of a network whose depth reaches from 0.1 to 100."""
    predict = answers(*torch.from_numpy(disps)[:, None, None])
    return evaluate_depth(predict, [make_batch([truth]) for truth in truths], protocol, fixed_scaling=fixed_scaling)


@pytest.fixture(scope="module")
def given():
    meta, want = golden.load("depth_metrics")
    assert "0.01 + 9.99*sigmoid" in meta["inputs"]["pred_sigmoid"]
    return meta["inputs"], want


@pytest.mark.parametrize(
    "loader, name", [("kitti_eigen_test", "eigen"), ("kitti_eigen_benchmark_test", "eigen_benchmark")]
)
@pytest.mark.parametrize("released", [False, True])
def test_kitti_is_judged_as_published(given, loader, name, released):
    inputs, want = given
    protocol = build(find_loader("depth", loader).protocol, **(RELEASED if released else {}))
    result = judge(protocol, [want[f"gt_{i}"] for i in range(3)], want["pred_sigmoid"])
    np.testing.assert_allclose(result.values, want[f"{'released_' * released}{name}_f64"], rtol=1e-5)
    if name == "eigen" and not released:
        np.testing.assert_allclose(result.ratios, want["eigen_ratios"], rtol=1e-5)
        counts = [protocol.valid(want[f"gt_{i}"]).sum() for i in range(3)]
        assert counts == want["eigen_valid_counts"].tolist()


def test_stereo_is_judged_with_a_fixed_scale(given):
    _, want = given
    result = judge(DEPTH_PROTOCOLS["kitti_eigen"], [want[f"gt_{i}"] for i in range(3)], want["pred_sigmoid"], 5.4)
    np.testing.assert_allclose(result.values, want["eigen_stereo_f64"], rtol=1e-5)


@pytest.mark.parametrize("released", [False, True])
def test_cityscapes_is_judged_as_published(given, released):
    inputs, want = given
    assert inputs["cityscapes gt"].startswith("kron(3+90*uniform(751+i, 64, 128), ones(16,16))")
    truth = np.kron(3 + 90 * golden.uniform(751, 64, 128), np.ones((16, 16), np.float32))
    truth[::3, ::5] = 0
    spec = find_loader("depth", "cityscapes_test")
    seen = truth[spec.window.slices(truth.shape)].astype(np.float32)
    protocol = build(spec.protocol, **(RELEASED if released else {}))
    result = judge(protocol, [seen], want["pred_sigmoid"][:1])
    np.testing.assert_allclose(result.values, want[f"{'released_' * released}cityscapes_f64"], rtol=1e-5)


def test_the_released_variant_is_named():
    found = build("kitti_eigen", **RELEASED)
    assert found.name == "kitti_eigen with resizing and medians of the released BDEdepth"
    assert (found.resize, found.lower_median) == ("corners", True)
    assert build("kitti_eigen") == DEPTH_PROTOCOLS["kitti_eigen"]
