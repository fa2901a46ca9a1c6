"""Losses on measured depth against the published ones, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from losses.supervised import as_far_as, gradient_loss, rows_of_scans, scale_invariant, sobel
from tests import golden

KINDS = {"kitti": (0, 80.0, 1.0), "nyu": (1, 10.0, 0.1)}


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(golden.uniform(seed, *shape))


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_invariant_loss_and_its_gradient_are_the_published_ones(kind):
    _, want = golden.load("spatialkd_losses")
    number, farthest, nearest = KINDS[kind]
    size = (2, 1, 32, 48)
    truth = (farthest * uniform(230 + number, *size)).masked_fill(uniform(232 + number, *size) < 0.6, 0)
    depth = (farthest * (0.9 * uniform(234 + number, *size) + 0.05)).requires_grad_()
    assert int((truth > nearest).sum()) == int(want[f"mask_count_{kind}"])
    loss = scale_invariant(depth, truth, nearest)
    loss.backward()
    np.testing.assert_allclose(loss.item(), want[f"si_{kind}"], rtol=1e-5)
    golden.assert_close_to_max(depth.grad.numpy(), want[f"grad_si_{kind}"], 1e-4)


@pytest.mark.parametrize("depth", [torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 5.0), torch.rand(1, 1, 4, 4)])
def test_no_measurement_no_loss_and_no_gradient(depth):
    depth = depth.clone().requires_grad_()
    loss = scale_invariant(depth, torch.full((1, 1, 4, 4), 0.5), nearest=1.0)
    loss.backward()
    assert loss.item() == 0 and not depth.grad.any()


def test_extreme_predictions_keep_loss_and_gradient_finite():
    truth = torch.tensor([[[[2.0, 0.0, 70.0, 3.0]]]])
    for values in ((2.0, 5.0, 70.0, 3.0), (0.0, 0.0, 0.0, 0.0), (1e-30, 80.0, 80.0, 80.0)):  # perfect, empty, mixed
        depth = torch.tensor([[[[*values]]]]).requires_grad_()
        loss = scale_invariant(depth, truth, nearest=1.0)
        loss.backward()
        assert loss.isfinite() and depth.grad.isfinite().all() and depth.grad[..., 1] == 0


def test_a_common_factor_costs_little():
    truth = 1 + 9 * torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert scale_invariant(2 * truth, truth, 0.1).item() == pytest.approx(10 * np.log(2) * np.sqrt(0.15), rel=1e-4)


def pairs() -> tuple[Tensor, Tensor, Tensor]:
    size = (2, 1, 24, 40)
    dense = 80 * uniform(601, *size)
    return 80 * uniform(600, *size), dense, dense.masked_fill(uniform(602, *size) < 0.7, 0)


@pytest.mark.parametrize("kind", ["masked", "unmasked"])
def test_the_gradient_loss_and_its_gradient_are_the_published_ones(kind):
    _, want = golden.load("spatialkd_lapdepth_losses")
    depth, dense, sparse = pairs()
    inside = rows_of_scans(sparse)
    np.testing.assert_array_equal(inside, want["mask"].astype(bool))
    depth.requires_grad_()
    loss = gradient_loss(depth, dense, inside if kind == "masked" else None)
    loss.backward()
    np.testing.assert_allclose(loss.item(), want[kind], rtol=1e-5)
    golden.assert_close_to_max(depth.grad.numpy(), want[f"grad_{kind}"], 1e-4)


def test_sobel_maps_are_the_published_ones():
    _, want = golden.load("spatialkd_lapdepth_losses")
    down, across = sobel(pairs()[1])
    np.testing.assert_allclose(down, want["sobel_y"], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(across, want["sobel_x"], rtol=1e-5, atol=1e-4)


def test_dense_depth_reaches_as_far_as_the_measurements_of_its_image():
    dense, truth = torch.rand(2, 1, 3, 4) + 0.1, torch.zeros(2, 1, 3, 4)
    truth[0, 0, 1, 1], truth[1, 0, 2, 2] = 40.0, 8.0
    assert as_far_as(dense, truth).amax((1, 2, 3)).tolist() == pytest.approx([40.0, 8.0])
    assert as_far_as(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).isfinite().all()
