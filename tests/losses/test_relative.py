"""Losses of a teacher known up to scale and shift: against NumPy, their gradients, and what contrast cannot buy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from losses.ranking import pairs, ranking_difference
from losses.relative import agreement, aligned, matched_gradients, residual, trimmed

SIZE = (2, 1, 12, 20)


def maps(seed: int, size: tuple[int, ...] = SIZE, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype) + 0.1


def some(seed: int = 5) -> Tensor:
    return maps(seed) < 0.8


def normal(x: np.ndarray) -> np.ndarray:
    """One image in NumPy by its median, the lower one, and the mean of the least 4/5 of the deviations from it."""
    middle = np.sort(x, axis=None)[(x.size - 1) // 2]
    return (x - middle) / np.sort(np.abs(x - middle), axis=None)[: int(0.8 * x.size + 1e-9)].mean()


def trimmed_in_numpy(own: np.ndarray, other: np.ndarray, counted: np.ndarray) -> float:
    total = number = 0.0
    for d, t, m in zip(own[:, 0], other[:, 0], counted[:, 0], strict=True):
        unlike = np.sort(np.abs(normal(d) - normal(t))[m])
        total += unlike[: int(0.8 * len(unlike) + 1e-9)].sum()
        number += len(unlike)
    return total / (2 * number)


def gradients_in_numpy(own: np.ndarray, other: np.ndarray, counted: np.ndarray) -> float:
    total = 0.0
    rest = np.stack([normal(d) - normal(t) for d, t in zip(own[:, 0], other[:, 0], strict=True)])
    for step in (1, 2, 4, 8):
        r, m = rest[:, ::step, ::step], counted[:, 0, ::step, ::step].astype(float)
        across = np.abs(r[:, :, 1:] - r[:, :, :-1]) * m[:, :, 1:] * m[:, :, :-1]
        down = np.abs(r[:, 1:] - r[:, :-1]) * m[:, 1:] * m[:, :-1]
        total += (across.sum() + down.sum()) / m.sum()
    return total


def ranking_in_numpy(own, other, image, draws, counted) -> float:
    """Pairs one by one, with slopes by loops."""
    height, width = image.shape[2:]
    losses = []
    for b in range(len(image)):
        p, t, m = normal(own[b, 0]), normal(other[b, 0]), counted[b, 0]
        grey = np.pad(image[b].mean(0), 1, mode="edge")
        sobel = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
        down, across = (
            np.array([[(grey[y : y + 3, x : x + 3] * k).sum() for x in range(width)] for y in range(height)])
            for k in (sobel, sobel.T)
        )
        strength = np.hypot(down, across)
        edges = [(y, x) for y in range(height) for x in range(width) if strength[y, x] >= 0.1 * strength.max()]
        for draw in draws[b].astype(float):
            y, x = edges[int(draw[0] * len(edges))]
            direction = np.array([down[y, x], across[y, x]]) / strength[y, x]
            ab, cd = sorted(2 + 28 * draw[1:3]), sorted(2 + 28 * draw[3:5])
            points = [
                tuple(np.clip(np.array([y, x]) + np.round(direction * d), 0, [height - 1, width - 1]).astype(int))
                for d in (-ab[1], -ab[0], cd[0], cd[1])
            ]
            anywhere = [divmod(int(u * height * width), width) for u in draw[5:]]
            for one, two in (*zip(points[:3], points[1:], strict=True), anywhere):
                if one == two or not (m[one] and m[two]):
                    continue
                apart, step = t[one] - t[two], p[one] - p[two]
                losses.append(step**2 if abs(apart) <= 0.03 else np.log1p(np.exp(-np.sign(apart) * step)))
    return float(np.mean(losses))


def image_and_draws(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return maps(7, (2, 3, 12, 20), dtype), maps(8, (2, 30, 7)).sub(0.1).to(torch.float32)


ALL = torch.ones(SIZE, dtype=torch.bool)


def ranked(own: Tensor, other: Tensor, counted: Tensor = ALL) -> Tensor:
    return ranking_difference(own, other, *image_and_draws(), counted)


LOSSES = {
    "trimmed": (lambda own, other, counted=ALL: trimmed(residual(own, other), counted), trimmed_in_numpy),
    "gradients": (lambda own, other, counted=ALL: matched_gradients(residual(own, other), counted), gradients_in_numpy),
    "ranking": (
        ranked,
        lambda own, other, counted: ranking_in_numpy(own, other, *(x.numpy() for x in image_and_draws()), counted),
    ),
}
each = pytest.mark.parametrize("name", LOSSES)


@each
def test_the_value_is_that_of_numpy(name):
    loss, oracle = LOSSES[name]
    for counted in (some(), ALL):
        own, other = maps(1), 700 * maps(2) - 90
        expected = oracle(own.numpy(), other.numpy(), counted.numpy())
        assert loss(own, other, counted).item() == pytest.approx(expected, rel=1e-9)
        assert loss(own.float(), other.float(), counted).item() == pytest.approx(expected, rel=1e-4)
    assert loss(own, other).item() == pytest.approx(expected, rel=1e-9)


@each
def test_the_gradient_is_that_of_differences(name):
    loss, _ = LOSSES[name]
    own, other, counted = maps(3, (1, 1, 6, 10)).requires_grad_(), maps(4, (1, 1, 6, 10)), some()[:1, :, :6, :10]
    if name == "ranking":
        image, draws = maps(7, (1, 3, 6, 10)), maps(8, (1, 20, 7)).sub(0.1).float()
        assert torch.autograd.gradcheck(lambda x: ranking_difference(x, other, image, draws, counted), own)
    else:
        assert torch.autograd.gradcheck(lambda x: loss(x, other, counted), own)


@each
def test_contrast_and_offset_buy_nothing(name):
    """Neither more nor less contrast lowers the loss, nor does any step of the optimiser along them."""
    loss, _ = LOSSES[name]
    own, other, counted = maps(1).requires_grad_(), maps(2), some()
    value = loss(own, other, counted)
    value.backward()
    for slope, offset in ((0.1, 0.0), (10.0, 0.0), (1.0, 3.0), (0.5, 0.2)):
        assert loss(slope * own + offset, other, counted).item() == pytest.approx(value.item(), rel=1e-9)
        assert loss(own, slope * other + offset, counted).item() == pytest.approx(value.item(), rel=1e-9)
    assert own.grad.abs().max() > 1e-4
    for image, grad in zip(own.detach(), own.grad, strict=True):
        assert abs(grad.sum()) < 1e-9 and abs((grad * image).sum()) < 1e-9


@each
def test_a_student_that_says_the_same_loses_nothing_of_shape_and_a_turned_one_the_most(name):
    loss, _ = LOSSES[name]
    right, wrong, turned = (loss(own, maps(2)).item() for own in (3 * maps(2) + 1, maps(1), 4 - maps(2)))
    assert right < wrong < turned
    if name != "ranking":
        assert right < 1e-12


@each
def test_the_teacher_gets_no_gradient_and_half_precision_no_worse_numbers(name):
    loss, _ = LOSSES[name]
    own, other = maps(1, dtype=torch.bfloat16).requires_grad_(), maps(2, dtype=torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(own, other)
    value.backward()
    assert value.dtype == torch.float32 and other.grad is None and own.grad.isfinite().all()
    assert value.item() == pytest.approx(loss(own.double(), other.double()).item(), rel=1e-4)


@each
def test_nothing_that_counts_and_flat_maps_leave_finite_gradients(name):
    loss, _ = LOSSES[name]
    own = maps(1).requires_grad_()
    value = loss(own, maps(2), torch.zeros(SIZE, dtype=torch.bool))
    value.backward()
    assert value.item() == 0 and bool((own.grad == 0).all())
    flat = torch.full(SIZE, 0.5, dtype=torch.float64, requires_grad=True)
    loss(flat, maps(2)).backward()
    assert flat.grad.isfinite().all() and flat.grad.abs().max() > 0  # it learns a shape
    assert loss(maps(1), torch.full(SIZE, 2.0, dtype=torch.float64)).isfinite()


def test_a_teacher_may_be_far_off_in_a_few_places():
    loss, _ = LOSSES["trimmed"]
    own = maps(1)
    sound, wrong = loss(own, own), loss(own, maps(2))
    for columns in (slice(0, 2), slice(9, 11), slice(18, 20)):  # a tenth of them
        other = own.clone()
        other[..., columns] += 1e3
        assert sound.item() == 0 and loss(own, other).item() < 0.3 * wrong.item()
        fitted = aligned(other, own)
        fitted[..., columns] = own[..., columns]
        assert (fitted - own).abs().mean() < 0.2 * own.std()


def test_the_aligned_answer_has_the_median_and_the_spread_of_the_student_and_no_gradient():
    own = maps(1).requires_grad_()
    found = aligned(-5 + 100 * maps(2), own)
    assert not found.requires_grad
    for mine, theirs in zip(found[:, 0].numpy(), own.detach()[:, 0].numpy(), strict=True):
        middle = [np.sort(x, axis=None)[(x.size - 1) // 2] for x in (mine, theirs)]
        spread = [np.sort(np.abs(x - m), axis=None)[:192].mean() for x, m in zip((mine, theirs), middle, strict=True)]
        np.testing.assert_allclose([middle[0], spread[0]], [middle[1], spread[1]])
    torch.testing.assert_close(aligned(7 * own - 1, own), own.detach())


def test_answers_agree_where_they_lie_within_a_tenth_of_their_spread():
    first = maps(1)
    second = 4 * first - 1
    assert agreement((first, second)).all()
    second[0, 0, 3, 5] += 2
    assert agreement((first, second)).sum() == first.numel() - 1


def test_pairs_lie_across_edges_on_the_line_of_the_gradient_and_within_the_image():
    image = torch.zeros(2, 3, 40, 60)
    image[0, :, :, 30:] = 1  # an upright edge; the other image has none
    first, second, found = pairs(image, maps(9, (2, 50, 7)).sub(0.1).float())
    assert found[0].all() and found[1].sum() == 50 and first.shape == second.shape == found.shape == (2, 200)
    assert int(first.max()) < 2400 and int(second.max()) < 2400 and int(min(first.min(), second.min())) >= 0
    row, column = (places[0, :150].view(3, 50) for places in (first // 60, first % 60))
    assert torch.equal(row[0], second[0, :50] // 60) and torch.equal(row[0], row[2])
    assert (column[0] <= column[1]).all() and (column[1] < 30).all() and (column[2] >= 30).all()
    assert (second[0, 100:150] % 60 >= column[2]).all()
