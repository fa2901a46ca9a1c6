"""Edges, distances and the three scales of a patch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses.patches.scales import edges, scale_weights, squared_distance, three_scales
from tests import golden


def test_distances_and_weights_match_the_released_code():
    _, want = golden.load("sgdem_edge_weights")
    found = torch.from_numpy(want["edges"]).bool()
    expected = torch.stack(
        [torch.from_numpy(golden.uniform(121 + i, 64, 64) > limit) for i, limit in enumerate((0.93, 0.97, 0.995))]
    )
    assert torch.equal(found, expected)
    golden.assert_close_to_max(squared_distance(found).sqrt().numpy(), want["distance"], 1e-6)
    np.testing.assert_allclose(scale_weights(found).transpose(0, 1), want["weights_hr_mr_lr"], rtol=1e-6)
    near, far, count = want["thresholds_and_count"].T
    np.testing.assert_allclose(found.sum((1, 2)), count)
    np.testing.assert_allclose(0.1 * 64**2 / count, near, rtol=1e-6)
    np.testing.assert_allclose(2 * 64**2 / count, far, rtol=1e-6)


def test_three_scales_match_the_released_code():
    _, want = golden.load("sgdem_multiscale")
    smooth = F.interpolate(
        torch.from_numpy(golden.uniform(131, 2, 3, 9, 9)), (128, 128), mode="bilinear", align_corners=True
    )
    patches = 0.7 * smooth + 0.3 * torch.from_numpy(golden.uniform(132, 2, 3, 128, 128))
    np.testing.assert_array_equal(edges(patches), want["edges"].astype(bool))
    found = three_scales(lambda x: (4 * x.mean(1, keepdim=True) - 2).sigmoid(), patches)
    golden.assert_close_to_max(found.numpy(), want["fused"], 1e-5)


@pytest.mark.parametrize("density", [0.3, 0.02, 0.001])
@pytest.mark.parametrize("shape", [(48, 64), (64, 64), (7, 5)])
def test_the_distance_is_exact(density, shape):
    generator = torch.Generator().manual_seed(int(1000 * density))
    found = torch.rand(4, *shape, generator=generator) < density
    found[:, 3, 2] = True
    expected = [
        cv2.distanceTransform(1 - one.numpy().astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for one in found
    ]
    assert_close(squared_distance(found), torch.from_numpy(np.stack(expected)).square().round())


def test_without_edges_everything_is_far_from_them():
    nothing = torch.zeros(2, 64, 64, dtype=torch.bool)
    nothing[1, 5, 5] = True
    weights = scale_weights(nothing)
    assert_close(weights[:, 0, 0, 0], torch.tensor([0.15, 0.70, 0.15]))
    assert bool((weights[:, 0] == weights[:, 0, :1, :1]).all())
    assert_close(weights.sum(0), torch.ones(2, 64, 64))


def test_an_edge_is_a_dark_side_of_more_than_24_grey_levels():
    step = torch.zeros(1, 3, 64, 64)
    step[..., 32:] = 30 / 255
    found = edges(step)
    assert bool(found[0, :, 31].all()) and found.sum() == 64
    step[..., 32:] = 20 / 255
    assert not bool(edges(step).any())


def test_networks_see_one_and_a_half_one_and_half_the_size_but_never_less_than_64():
    seen = []

    def estimate(x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[-2:]))
        return x.mean(1, keepdim=True)

    three_scales(estimate, torch.rand(1, 3, 128, 128))
    assert sorted(seen) == [(64, 64), (128, 128), (192, 192)]
    seen.clear()
    three_scales(estimate, torch.rand(1, 3, 64, 64))
    assert sorted(seen) == [(64, 64), (96, 96)]
