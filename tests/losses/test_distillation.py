"""Distillation of features against the published losses, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from losses.distillation import (
    block_mask,
    compared_maps,
    decomposition,
    ramp_length,
    replaced_difference,
    share_replaced,
    weighted,
)
from models.spatial_kd.decoder import Replacement, replaced
from tests import golden

WEIGHTS = {"feature": 0.3, "laplacian_1": 0.1, "laplacian_2": 0.1, "laplacian_3": 0.1}
NAMES = {"feature": "feat", "laplacian_1": "lap1", "laplacian_2": "lap2", "laplacian_3": "lap3"}
SIZES = ((5, 7), (11, 14), (22, 28), (44, 56), (60, 80))


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(golden.uniform(seed, *shape))


def test_terms_of_all_levels_and_their_gradients_are_the_published_ones():
    _, want = golden.load("spatialkd_losses")
    student = [(2 * uniform(200 + i, 2, 2, *size) - 1).requires_grad_() for i, size in enumerate(SIZES)]
    teacher = [2 * uniform(210 + i, 2, 2, *size) - 0.8 for i, size in enumerate(SIZES)]
    terms = compared_maps(student, teacher)
    for name, published in NAMES.items():
        np.testing.assert_allclose([term.item() for term in terms[name]], want[published], rtol=1e-5)
    total = sum(weighted(terms, WEIGHTS).values())
    np.testing.assert_allclose(total.item(), want["decomposition_total"], rtol=1e-5)
    total.backward()
    for i, feature in enumerate(student):
        golden.assert_close_to_max(feature.grad.numpy(), want[f"grad_S{i}"], 1e-4)
    for number, part in enumerate(decomposition(student[0].detach()), 1):
        np.testing.assert_allclose(part, want[f"S0_lap{number}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (2, 6)])
def test_maps_too_small_to_be_halved_keep_their_single_pixels(size):
    x = torch.rand(2, 3, *size)
    fine, middle, rest = decomposition(x)
    assert fine.shape == x.shape and rest.shape[2:] == tuple(max(side // 4, 1) for side in size)
    flat = decomposition(torch.ones(1, 1, *size))
    assert not flat[0].any() and not flat[1].any() and bool((flat[2] == 1).all())


@pytest.mark.parametrize("case", range(4))
def test_replaced_blocks_are_the_published_ones(case):
    meta, want = golden.load("spatialkd_replaceblock")
    about = meta["inputs"][case]
    shape = want[f"c{case}_replaced"].shape
    first = about["noise"]["seed"]
    noise = uniform(first, *about["noise"]["shape"])
    student, teacher, weight = (uniform(first + number, *shape) - 0.4 * (number < 3) for number in (1, 2, 3))
    student.requires_grad_()
    mask = block_mask(noise, about["drop_prob"], about["block_size"])
    np.testing.assert_array_equal(mask, want[f"c{case}_block_mask"].astype(bool))
    found = replaced(student, Replacement(teacher, mask))
    np.testing.assert_allclose(found.detach(), want[f"c{case}_replaced"], rtol=1e-5, atol=1e-6)
    drop = replaced_difference(student, teacher, mask)
    np.testing.assert_allclose(drop.item(), want[f"c{case}_drop_loss"], rtol=1e-5)
    ((found * weight).sum() + 0.2 * drop).backward()
    np.testing.assert_allclose(student.grad, want[f"c{case}_grad_S"], atol=5e-4)


def test_what_was_replaced_learns_nothing_from_what_follows():
    student, mask = torch.tensor([[[[1.0, -1.0, 2.0]]]], requires_grad=True), torch.tensor([[[[True, True, False]]]])
    found = replaced(student, Replacement(torch.full((1, 1, 1, 3), 9.0), mask))
    found.sum().backward()
    assert found.flatten().tolist() == [9.0, -1.0, 2.0] and student.grad.flatten().tolist() == [0.0, 1.0, 1.0]


def test_one_mask_serves_all_channels_and_blocks_extend_as_published():
    noise = torch.ones(1, 5, 6)
    noise[0, 2, 3] = 0.0
    even, odd = block_mask(noise, 0.5, 2), block_mask(noise, 0.5, 7)
    assert even.shape == (1, 1, 5, 6) and even.nonzero()[:, 2:].tolist() == [[2, 3], [2, 4], [3, 3], [3, 4]]
    assert odd[0, 0].all(0).tolist() == [True] * 6 and odd.shape == even.shape
    assert not block_mask(noise, 0.0, 2).any()


def test_the_share_that_is_replaced_rises_as_published():
    meta, want = golden.load("spatialkd_schedules")
    epochs, steps = meta["inputs"]["epochs"], meta["inputs"]["iters_per_epoch"]
    ramp = ramp_length(epochs, steps)
    found = [share_replaced(step, ramp) for step in range(len(want["drop_prob"]))]
    np.testing.assert_allclose(found, want["drop_prob"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("epochs", "ramp"), [(26, 10.0), (25, 125.0), (4, 20.0), (0, 1.0)])
def test_short_trainings_have_a_ramp_of_half_their_steps(epochs, ramp):
    assert ramp_length(epochs, 10) == ramp
