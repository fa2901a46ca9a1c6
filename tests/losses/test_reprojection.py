"""The fused photometric loss: its gradient against differences, and its value against the plain formula."""

from __future__ import annotations

from functools import reduce

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from losses.photometric import Reference, photometric_error, window_adjoint
from losses.reprojection import reprojection_error

BATCH, RESOLUTIONS = 2, 2
OPTIONS = [(True, False), (True, True), (False, False), (False, True)]


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64)


def scene(neighbours: int, height: int = 4, width: int = 5) -> tuple[list[Tensor], Reference, Tensor, Tensor]:
    """Neighbours, target, errors of unmoved neighbours, pixels that count."""
    torch.manual_seed(neighbours)
    target = random(BATCH, 2, height, width)
    views = [random(RESOLUTIONS, BATCH, 2, height, width).requires_grad_() for _ in range(neighbours)]
    return views, Reference.of(target), 0.5 * random(BATCH, height, width), random(BATCH, height, width) > 0.3


def plain(views: list[Tensor], reference: Reference, unmoved, keep, ssim: bool, average: bool) -> Tensor:
    errors = [photometric_error(view.flatten(0, 1), reference, ssim) for view in views]
    error = torch.stack(errors).mean(0) if average else reduce(torch.minimum, errors)
    if unmoved is not None:
        error = torch.minimum(error, unmoved)
    return (error if keep is None else error * keep).mean((1, 2, 3))


@pytest.mark.parametrize(("ssim", "average"), OPTIONS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("automasked", [False, True])
@pytest.mark.parametrize("neighbours", [1, 2, 4])
def test_value_and_gradient_are_those_of_the_plain_formula(neighbours, automasked, masked, ssim, average):
    views, reference, unmoved, keep = scene(neighbours)
    more = (unmoved if automasked else None, keep if masked else None, ssim, average)
    weights = torch.tensor([1.0, -3.0], dtype=torch.float64)
    value, wanted = reprojection_error(views, reference, *more), plain(views, reference, *more)
    assert_close(value, wanted)
    found = torch.autograd.grad((weights * value).sum(), views)
    assert_close(found, torch.autograd.grad((weights * wanted).sum(), views))


@pytest.mark.parametrize(("ssim", "average"), OPTIONS)
def test_gradient_agrees_with_differences(ssim, average):
    views, reference, unmoved, keep = scene(2, 3, 4)
    assert torch.autograd.gradcheck(
        lambda *images: reprojection_error(images, reference, unmoved, keep, ssim, average), views, fast_mode=True
    )


def test_a_second_derivative_is_refused():
    views, reference, _, _ = scene(2)
    with pytest.raises(RuntimeError, match="first derivative only; leave out create_graph=True"):
        torch.autograd.grad(reprojection_error(views, reference).sum(), views, create_graph=True)


def test_nothing_is_kept_but_one_gradient_per_neighbour():
    kept = []
    views, reference, unmoved, keep = scene(2)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        reprojection_error(views, reference, unmoved, keep)
    assert sum(tensor.numel() for tensor in kept) == sum(view.numel() for view in views)


def test_without_gradient_the_value_is_the_same():
    views, reference, unmoved, keep = scene(2)
    with torch.no_grad():
        value = reprojection_error(views, reference, unmoved, keep)
    assert not value.requires_grad and torch.equal(value, reprojection_error(views, reference, unmoved, keep).detach())


def test_all_resolutions_at_once_give_the_same_as_one_after_the_other(monkeypatch):
    views, reference, unmoved, keep = scene(2)
    found = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda compiling=compiling: compiling)
        value = reprojection_error(views, reference, unmoved, keep)
        found.append((value, *torch.autograd.grad(value.sum(), views)))
    assert_close(found[0], found[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [(3, 3), (3, 6), (7, 4)])
def test_the_adjoint_of_windows_is_their_transpose(size):
    torch.manual_seed(0)
    image, weight = random(2, 1, *size).requires_grad_(), random(2, 1, *size)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="reflect")
    sums = 9 * torch.nn.functional.avg_pool2d(padded, 3, 1)
    (wanted,) = torch.autograd.grad((weight * sums).sum(), image)
    assert_close(window_adjoint(weight.clone()), wanted)


@pytest.mark.parametrize(("ssim", "average"), OPTIONS)
def test_all_at_once_as_on_gpus_is_the_same(ssim, average, monkeypatch):
    views, reference, unmoved, keep = scene(3)
    found = []
    for at_once in (False, True):
        monkeypatch.setattr("losses.reprojection._at_once", lambda _, at_once=at_once: at_once)
        value = reprojection_error(views, reference, unmoved, keep, ssim, average)
        found.append((value, *torch.autograd.grad(value.sum(), views)))
    assert_close(*found)
