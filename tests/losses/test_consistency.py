"""The semantic-depth consistency loss against goldens, a loop, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses.consistency import CLASSES, SemanticDepthConsistency
from tests import golden


def bilinear(values: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(torch.from_numpy(values), size, mode="bilinear", align_corners=True)


@pytest.fixture(scope="module")
def case() -> tuple[torch.Tensor, torch.Tensor, dict[str, np.ndarray]]:
    _, want = golden.load("sgdem_sd_consistency")
    disp = 0.1 + 0.8 * bilinear(golden.uniform(111, 2, 1, 8, 16), (48, 96))
    disp = disp + 0.03 * torch.from_numpy(golden.uniform(112, 2, 1, 48, 96))
    ids = torch.from_numpy(np.floor(20 * golden.uniform(113, 2, 6, 12))).long()
    ids = ids.repeat_interleave(8, 1).repeat_interleave(8, 2)
    np.testing.assert_array_equal(ids, want["seg"])
    return disp, ids, want


def released(disp: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """What the published code computes when it is fed class ids, in closed form."""
    total, pairs = disp.new_zeros(()), 0
    for d, labels in zip(disp[:, 0], ids, strict=True):
        for name in CLASSES:
            mask = labels == name
            if int(mask.sum()) <= 10:
                continue
            pairs += 1
            inner = torch.zeros_like(mask)
            inner[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
            excess = sum(F.relu(d.roll(shift, 0) - 1.05 * d) for shift in (1, -1))
            if bool(inner.any()):
                total = total + 255 * excess[inner].mean()
    return 10 / (4 * max(pairs, 1)) * total


@pytest.mark.parametrize("variant", ["decided", "paper"])
def test_value_and_gradient_match_the_golden(case, variant):
    disp, ids, want = case
    disp = disp.clone().requires_grad_()
    loss = 10 * SemanticDepthConsistency(variant)(disp, ids)
    loss.backward()
    assert_close(loss.item(), float(want[f"loss_{variant}"]), rtol=1e-5, atol=0)
    golden.assert_close_to_max(disp.grad.numpy(), want[f"grad_{variant}"], 1e-5)


def test_excess_and_interior_match_the_golden(case):
    disp, ids, want = case
    module = SemanticDepthConsistency()
    golden.assert_close_to_max(module.excess(disp).numpy(), want["excess_decided"][:, 1:-1, 1:-1], 1e-5)
    inner = F.pad(module.interior(ids), (1, 1, 1, 1))
    np.testing.assert_array_equal(inner, want["interior"].astype(bool))


def test_the_released_form_is_understood(case):
    disp, ids, want = case
    disp = disp.clone().requires_grad_()
    loss = released(disp, ids)
    loss.backward()
    assert_close(loss.item(), float(want["loss_released_ids"]), rtol=1e-5, atol=0)
    golden.assert_close_to_max(disp.grad.numpy(), want["grad_released_ids"], 1e-5)
    binary = (~torch.isin(ids, torch.tensor([0, 1, 2, 3, 4, 10, 19]))).long()
    assert released(disp, binary).item() == float(want["loss_released_binary"]) == 0


def one_by_one(disp: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The formula, image by image and class by class."""
    means = []
    for d, labels in zip(disp[:, 0], ids, strict=True):
        n = d / (d.mean() + 1e-7)
        for name in CLASSES:
            found = []
            for y in range(1, d.shape[0] - 1):
                for x in range(1, d.shape[1] - 1):
                    around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                    if labels[y, x] == name and all(labels[q] == name for q in around):
                        found.append(sum(F.relu((n[y, x] - n[q]).abs() - 0.05 * n[y, x].detach()) for q in around) / 4)
            if len(found) > 10:
                means.append(torch.stack(found).mean())
    return torch.stack(means).mean()


def test_it_is_the_formula_taken_literally():
    torch.manual_seed(0)
    disp = torch.rand(2, 1, 12, 14, dtype=torch.float64, requires_grad=True)
    ids = torch.tensor([[5, 13, 0], [18, 11, 11]]).repeat_interleave(5, 1)[:, None].repeat(1, 12, 1)[..., :14]
    found, expected = SemanticDepthConsistency()(disp, ids), one_by_one(disp, ids)
    assert_close(found, expected)
    assert_close(*(torch.autograd.grad(loss, disp)[0] for loss in (found, expected)))


def test_scaling_the_disparity_changes_nothing_in_the_decided_form():
    torch.manual_seed(0)
    disp, ids = torch.rand(1, 1, 16, 16), torch.full((1, 16, 16), 13)
    assert_close(SemanticDepthConsistency()(0.1 * disp, ids), SemanticDepthConsistency()(disp, ids))
    assert SemanticDepthConsistency("paper")(0.1 * disp, ids) < SemanticDepthConsistency("paper")(disp, ids)


@pytest.mark.parametrize("name", [0, 1, 2, 3, 4, 10, 19])
def test_surfaces_that_recede_are_left_alone_and_an_empty_loss_can_be_differentiated(name):
    disp = torch.rand(1, 1, 16, 16, requires_grad=True)
    loss = SemanticDepthConsistency()(disp, torch.full((1, 16, 16), name))
    loss.backward()
    assert loss.item() == 0 and not bool(disp.grad.any())


def test_small_steps_cost_nothing_and_large_ones_do():
    ids = torch.full((1, 16, 16), 13)
    slope = 0.5 * 1.03 ** torch.arange(16.0).expand(1, 1, 16, 16)
    assert SemanticDepthConsistency()(slope, ids).item() == 0
    edge = torch.cat((torch.full((1, 1, 16, 8), 0.2), torch.full((1, 1, 16, 8), 0.4)), 3)
    assert SemanticDepthConsistency()(edge, ids).item() > 0


def test_a_region_of_ten_pixels_is_too_small():
    disp = torch.rand(1, 1, 16, 16)
    ids = torch.zeros(1, 16, 16, dtype=torch.long)
    ids[:, 2:6, 2:9] = 13  # 4 x 7 with an interior of 2 x 5
    assert SemanticDepthConsistency()(disp, ids).item() == 0
    ids[:, 2:6, 2:10] = 13
    assert SemanticDepthConsistency()(disp, ids).item() > 0


def test_pictures_show_the_pixels_it_acts_on():
    ids = torch.zeros(1, 8, 8, dtype=torch.long)
    ids[:, 2:7, 2:7] = 13
    shown = SemanticDepthConsistency().constrained(ids)
    assert (shown == 13).sum() == 9 and (shown == 255).sum() == 55
