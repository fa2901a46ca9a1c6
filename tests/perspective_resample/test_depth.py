"""Depth that knows what it is."""

import pytest
import torch
from torch.testing import assert_close

from perspective_resample.depth import DepthMap, disp_to_depth, scale_disparity


@pytest.mark.parametrize("inverse", [True, False])
def test_depth_and_inverse_depth_are_each_others_inverse(inverse):
    values = torch.rand(2, 1, 4, 6) + 0.1
    found = DepthMap(values, inverse, "metres")
    assert torch.equal(found.inverse_depth() if inverse else found.depth(), values)
    assert_close(found.depth() * found.inverse_depth(), torch.ones_like(values))


def test_maps_are_resized_in_their_own_quantity():
    values = torch.tensor([[[[1.0, 4.0]]]])
    far, near = DepthMap(values, True, "up to scale").at((1, 3)), DepthMap(values, False, "metres").at((1, 3))
    assert far.depth()[0, 0, 0, 1] == 1 / 2.5 and near.depth()[0, 0, 0, 1] == 2.5
    assert (far.inverse, far.known, near.inverse, near.known) == (True, "up to scale", False, "metres")


def test_resizing_is_that_of_interpolate_and_the_own_size_costs_nothing():
    found = DepthMap(torch.rand(1, 1, 5, 7), True, "up to scale")
    expected = torch.nn.functional.interpolate(found.values, (9, 4), mode="bilinear", align_corners=False)
    assert torch.equal(found.at((9, 4)).values, expected)
    assert found.at((5, 7)) is found
    assert set(found.at((20, 30), "nearest").values.flatten().tolist()) <= set(found.values.flatten().tolist())


def test_the_ends_of_the_range_are_disparity_one_and_zero():
    disp = torch.tensor([0.0, 1.0])
    assert_close(disp_to_depth(disp, 0.5, 20.0), torch.tensor([20.0, 0.5]))
    assert_close(scale_disparity(disp, 0.5, 20.0), torch.tensor([0.05, 2.0]))
