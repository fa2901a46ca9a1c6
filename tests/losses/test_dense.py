"""The loss on dense depth against the published numbers, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from losses.dense import KINDS, TERMS, DenseDepthLoss
from tests import golden

ALL = torch.ones(2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("recommended", "sdconvtrans"),
        ("recommended_masked", "sdconvtrans"),
        ("hu2019", "hu2019"),
        ("released", "released"),
    ],
)
def test_terms_and_gradient_match_the_published_ones(name, kind):
    meta, want = golden.load("sdconvtrans_losses")
    share, target = (torch.from_numpy(want[key]).clone() for key in ("pred", "gt"))
    if name.endswith("masked"):
        target = target * torch.from_numpy(want["mask"])
    share.requires_grad_()
    terms = DenseDepthLoss(kind)(share, target, ALL)
    sum(terms.values()).backward()
    assert [*terms] == meta["order"] == [*TERMS]
    assert_close(torch.stack([*terms.values()]).detach().numpy(), want[name], rtol=1e-5, atol=1e-7)
    golden.assert_close_to_max(share.grad.numpy(), want[f"grad_{name}"], 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_without_targets_all_terms_are_0_and_nothing_is_learned(kind):
    share = torch.rand(2, 1, 6, 7, requires_grad=True)
    terms = DenseDepthLoss(kind)(share, torch.zeros(2, 1, 6, 7), ALL)
    sum(terms.values()).backward()
    assert [term.item() for term in terms.values()] == [0, 0, 0] and not share.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_flat_and_perfect_predictions_have_finite_gradients(kind):
    share = torch.full((2, 1, 6, 7), 0.25, requires_grad=True)
    sum(DenseDepthLoss(kind)(share, share.detach().clone(), ALL).values()).backward()
    assert bool(share.grad.isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_of_targets_with_gaps_the_depth_alone_counts(kind):
    torch.manual_seed(0)
    share, target = torch.rand(2, 2, 1, 8, 9)
    loss = DenseDepthLoss(kind)
    both, one = loss(share, target, torch.tensor([True, False])), loss(share[:1], target[:1], ALL[:1])
    assert_close(both["gradient"], one["gradient"])
    assert_close(both["normal"], one["normal"])
    assert both["depth"] == loss(share, target, ALL)["depth"] != one["depth"]


def test_slopes_count_where_the_whole_neighbourhood_is_known():
    share, target = torch.rand(2, 1, 1, 7, 9)
    target[..., 3, 4] = 0
    changed = share.clone()
    changed[..., 3, 4] = 0.9
    loss = DenseDepthLoss()
    before, after = loss(share, target, ALL[:1]), loss(changed, target, ALL[:1])
    assert all(before[term] == after[term] for term in TERMS)


def test_normals_that_are_nearly_the_same_are_told_apart():
    target = torch.full((1, 1, 9, 9), 0.5, dtype=torch.float64)
    tilted = target + 1e-6 * torch.arange(9)
    slope = 10 * 8e-6
    expected = 1 - 1 / np.sqrt(1 + slope**2)
    found = DenseDepthLoss().double()(tilted, target, ALL[:1])["normal"]
    inner = 7 / 9  # at the border the zeros around the image make steep slopes, in both maps alike
    assert_close(found.item(), inner**2 * expected, rtol=1e-3, atol=0)


def test_over_two_ranks_the_loss_is_that_of_the_whole_batch():
    """The mean of what two ranks say, and of their gradients, is that of one rank with the batches of both."""
    torch.manual_seed(0)
    share, target = torch.rand(2, 2, 1, 8, 8)
    target[0] *= torch.rand(1, 8, 8) > 0.4
    whole = share.clone().requires_grad_()
    expected = DenseDepthLoss()(whole, target, ALL)
    sum(expected.values()).backward()

    parts = [share[i : i + 1].clone().requires_grad_() for i in (0, 1)]
    counts: list[torch.Tensor] = []
    means: list[torch.Tensor] = []
    for part, wanted in zip(parts, target.split(1), strict=True):
        with torch.no_grad():  # what the ranks would tell each other
            DenseDepthLoss(denominator=lambda count: counts.append(count) or count)(part, wanted, ALL[:1])
    total = torch.stack(counts).sum(0) / 2
    for part, wanted in zip(parts, target.split(1), strict=True):
        with torch.no_grad():
            DenseDepthLoss(denominator=lambda _: total, mean_of_ranks=lambda value: means.append(value) or value)(
                part, wanted, ALL[:1]
            )
    mean = torch.stack(means).mean()
    found = []
    for part, wanted in zip(parts, target.split(1), strict=True):
        loss = DenseDepthLoss(denominator=lambda _: total, mean_of_ranks=lambda _: mean)
        found.append(loss(part, wanted, ALL[:1]))
        sum(found[-1].values()).backward()
    for term in TERMS:
        assert_close((found[0][term] + found[1][term]) / 2, expected[term])
    assert_close(torch.cat([part.grad for part in parts]) / 2, whole.grad)
