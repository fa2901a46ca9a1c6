"""Losses of depth against classes: against NumPy, pixel by pixel, their gradients, and what they leave alone."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from losses.consistency import SemanticDepthConsistency
from losses.regions import border_triplets, borders, inside, plane_agreement, region_smoothness, surfaces
from perspective_resample.camera import backproject

B, H, W = 2, 12, 16
CAMERA = torch.eye(4, dtype=torch.float64).repeat(B, 1, 1)
CAMERA[:, 0, 0], CAMERA[:, 1, 1], CAMERA[:, 0, 2], CAMERA[:, 1, 2] = 14.0, 13.0, 7.5, 4.0
VARIANTS = ("boundary", "triplet", "plane")


def maps(seed: int) -> Tensor:
    return torch.rand(B, 1, H, W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1


def labels(seed: int = 3) -> Tensor:
    """Blocks of road, sidewalk, terrain, building, pole, sign, car, background and unknown."""
    some = torch.tensor([0, 1, 9, 2, 5, 7, 13, 19, 255, 0, 1, 13])
    drawn = torch.randint(len(some), (B, H // 4, W // 4), generator=torch.Generator().manual_seed(seed))
    return some[drawn].repeat_interleave(4, 1).repeat_interleave(4, 2)


def loss_of(variant: str, disp: Tensor, ids: Tensor) -> Tensor:
    sure = maps(2)[:, 0].clamp(max=1).to(disp.dtype)
    return SemanticDepthConsistency(variant)(disp, ids, sure, CAMERA.to(disp.dtype))


def smoothness_in_numpy(disp: np.ndarray, ids: np.ndarray, sure: np.ndarray) -> float:
    total = 0.0
    for dy, dx in ((1, 0), (0, 1)):
        found = []
        for b in range(B):
            n = disp[b, 0] / disp[b, 0].mean()
            for y in range(H - dy):
                for x in range(W - dx):
                    p, q = (b, y, x), (b, y + dy, x + dx)
                    one = ids[p] == ids[q] and ids[p] < 19
                    found.append(abs(n[p[1:]] - n[q[1:]]) * min(sure[p], sure[q]) if one else 0.0)
        total += np.mean(found)
    return total


SIDE = {name: name for name in range(19)} | {1: 0, 9: 0, 6: 5, 7: 5, 17: 12, 18: 12}


def triplets_in_numpy(disp: np.ndarray, ids: np.ndarray, margin: float) -> float:
    found = []
    for b in range(B):
        n, c = disp[b, 0] / disp[b, 0].mean(), ids[b]
        for y in range(2, H - 2):
            for x in range(2, W - 2):
                near, far = [], []
                for v in range(y - 2, y + 3):
                    for u in range(x - 2, x + 3):
                        if (v, u) == (y, x) or c[y, x] >= 19 or c[v, u] >= 19:
                            continue
                        apart = abs(n[y, x] - n[v, u])
                        if SIDE[c[y, x]] == SIDE[c[v, u]]:
                            near.append(apart)
                            continue
                        lower, upper = ((y, x), (v, u)) if y > v else ((v, u), (y, x))
                        if y != v and SIDE[c[lower]] == 0 and SIDE[c[upper]] != 0:
                            continue
                        far.append(apart)
                if len(near) >= 5 and len(far) >= 5:
                    found.append(max(0.0, np.mean(near) - np.mean(far) + margin * n[y, x]))
    return float(np.mean(found))


def planes_in_numpy(inverse: np.ndarray, ids: np.ndarray, camera: np.ndarray) -> float:
    """Normals by the cross product of the points; the angle of each to their mean."""
    found = []
    for b in range(B):
        rays = np.stack((*np.meshgrid(np.arange(W), np.arange(H)), np.ones((H, W))), -1) @ np.linalg.inv(camera[b]).T
        points = rays / inverse[b, 0][..., None]
        for name in (0, 1):
            units = []
            for y in range(H - 1):
                for x in range(W - 1):
                    if ids[b, y, x] == ids[b, y, x + 1] == ids[b, y + 1, x] == name:
                        n = np.cross(points[y, x + 1] - points[y, x], points[y + 1, x] - points[y, x])
                        units.append(n / np.linalg.norm(n))
            if len(units) > 10:
                mean = np.sum(units, 0)
                found.append(np.mean([1 - n @ mean / np.linalg.norm(mean) for n in units]))
    return float(np.mean(found))


def test_each_is_its_formula_taken_literally():
    disp, ids = maps(1), labels()
    sure, camera = maps(2)[:, 0].clamp(max=1), CAMERA[:, :3, :3]
    smooth = smoothness_in_numpy(disp.numpy(), ids.numpy(), sure.numpy())
    assert_close(region_smoothness(disp, ids, sure).item(), smooth, rtol=1e-6, atol=0)
    for margin in (0.1, 0.5):
        apart = triplets_in_numpy(disp.numpy(), ids.numpy(), margin)
        assert_close(border_triplets(disp, ids, margin).item(), apart, rtol=1e-6, atol=0)
    flat = planes_in_numpy(disp.numpy(), ids.numpy(), camera.numpy())
    assert_close(plane_agreement(disp, ids, CAMERA).item(), flat, rtol=1e-6, atol=0)
    assert min(smooth, apart, flat) > 0.01
    inverse = 0.01 + (1 / 0.1 - 0.01) * disp
    assert_close(loss_of("plane", disp, ids), plane_agreement(inverse, ids, CAMERA))


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_those_of_finite_differences(variant):
    ids = labels()
    if variant == "triplet":  # whose margin has no gradient: none is asked for then
        disp = maps(1).requires_grad_()
        assert torch.autograd.gradcheck(lambda d: border_triplets(d, ids, 0.0), disp)
        one, other = (torch.autograd.grad(border_triplets(disp, ids, m), disp)[0] for m in (5.0, 6.0))
        assert_close(one, other)  # every border pixel counts, and the margin pulls at none
    else:
        assert torch.autograd.gradcheck(lambda d: loss_of(variant, d, ids), maps(1).requires_grad_())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_scale_of_the_disparity_changes_nothing(variant):
    disp, ids = maps(1), labels()
    sure = maps(2)[:, 0]
    calls = {
        "boundary": lambda d: region_smoothness(d, ids, sure),
        "triplet": lambda d: border_triplets(d, ids),
        "plane": lambda d: plane_agreement(d, ids, CAMERA),
    }
    assert_close(calls[variant](1e-3 * disp), calls[variant](disp), rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", [0, 13, 19, 255])
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_region_alone(variant, name):
    """No border, no road, nothing that is known: what there is nothing of costs 0 and can be differentiated."""
    disp = maps(1).float().requires_grad_()
    loss = loss_of(variant, disp, torch.full((B, H, W), name))
    loss.backward()
    acts = {"boundary": name < 19, "triplet": False, "plane": name == 0}[variant]
    assert (loss.item() > 0, bool(disp.grad.any())) == (acts, acts) and bool(disp.grad.isfinite().all())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_flat_disparity_has_finite_gradients(variant):
    disp = torch.full((B, 1, H, W), 0.5, requires_grad=True)
    loss_of(variant, disp, labels()).backward()
    assert bool(disp.grad.isfinite().all())


@pytest.mark.parametrize("variant", VARIANTS)
def test_half_precision_around_it_changes_nothing(variant):
    disp, ids = maps(1).float(), labels()
    found = []
    for around in (contextlib.nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        leaf = disp.clone().requires_grad_()
        with around:
            loss = loss_of(variant, leaf, ids)
        loss.backward()
        found.append((loss, leaf.grad))
    assert found[0][0].dtype == found[1][0].dtype == torch.float32
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_smoothness_lets_go_at_a_border_and_where_classes_are_a_guess():
    step = torch.cat((torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), 0.6)), 3)
    ids = torch.full((1, 8, 16), 2)
    sure = torch.ones(1, 8, 16)
    assert region_smoothness(step, ids, sure).item() > 0 == region_smoothness(step, ids, 0 * sure).item()
    ids[..., 8:] = 13
    assert region_smoothness(step, ids, sure).item() == 0


def test_a_step_of_the_margin_across_a_border_is_enough():
    ids = torch.full((1, 8, 16), 2)
    ids[..., 8:] = 13
    disp = torch.full((1, 1, 8, 16), 0.5)
    assert border_triplets(disp, ids, 0.1).item() == pytest.approx(0.1)
    disp[..., 8:] = 0.56
    assert border_triplets(disp, ids, 0.1).item() == 0
    assert border_triplets(disp, ids, 0.2).item() > 0


@pytest.mark.parametrize(
    ("left", "right"), [(0, 1), (0, 9), (5, 7), (12, 18), (13, 19), (13, 255)], ids=lambda name: str(name)
)
def test_classes_that_are_one_in_depth_or_unknown_have_no_border(left, right):
    ids = torch.full((1, 8, 16), left)
    ids[..., 8:] = right
    assert border_triplets(torch.full((1, 1, 8, 16), 0.5), ids).item() == 0 and not borders(ids).any()


def test_what_stands_on_the_ground_meets_it_there():
    car, road = torch.full((1, 6, 12), 13), torch.full((1, 6, 12), 0)
    assert not borders(torch.cat((car, road), 1)).any()
    assert borders(torch.cat((road, car), 1)).any() and borders(torch.cat((car, road), 2)).any()
    assert borders(torch.cat((torch.full_like(car, 10), car), 1)).any()


def test_a_road_of_any_slope_is_flat_and_a_kink_is_not():
    points = torch.tensor([[0.1, 1.0, 0.2], [0.0, 0.8, -0.02]], dtype=torch.float64)  # n of n . X = 1
    rays = backproject(torch.ones(B, 1, H, W, dtype=torch.float64), CAMERA.inverse())
    inverse = (points[:, :, None, None] * rays).sum(1, keepdim=True).abs() + 0
    ids = torch.zeros(B, H, W, dtype=torch.int64)
    ids[:, :5] = 2  # the horizon, below which both planes lie
    assert plane_agreement(inverse, ids, CAMERA).item() == pytest.approx(0, abs=1e-9)
    bent = inverse.clone()
    bent[..., 8:] *= 1.5
    assert plane_agreement(bent, ids, CAMERA).item() > 1e-3


def test_normals_agree_within_an_image_and_a_class_not_between_them():
    y = torch.arange(float(H)).view(1, 1, H, 1)
    x = torch.arange(float(W)).view(1, 1, 1, W)
    inverse = torch.cat((0.2 + 0.1 * y + 0 * x, 0.2 + 0.05 * x + 0 * y))
    ids = torch.zeros(B, H, W, dtype=torch.int64)
    assert plane_agreement(inverse, ids, CAMERA.float()).item() == pytest.approx(0, abs=1e-6)
    assert plane_agreement(inverse.amax(0, keepdim=True), ids[:1], CAMERA[:1].float()).item() > 1e-3


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="regions: ids"):
        border_triplets(maps(1), labels()[:1])
    with pytest.raises(ValueError, match="regions: margin"):
        region_smoothness(maps(1), labels(), maps(2)[:1, 0])
    with pytest.raises(ValueError, match="regions: K"):
        plane_agreement(maps(1), labels(), CAMERA[:1])


def test_ranks_divide_by_the_count_of_all():
    disp, ids = maps(1), labels()
    for call in (
        lambda among: border_triplets(disp, ids, denominator=among),
        lambda among: plane_agreement(disp, ids, CAMERA, among),
    ):
        seen = []
        loss = call(lambda count, seen=seen: seen.append(count) or count.clamp(min=1) * 2)
        assert_close(2 * loss, call(lambda count: count.clamp(min=1)))
        assert seen[0].dim() == 0 and seen[0] > 0


def test_pictures_show_the_pixels_they_act_on():
    ids = torch.full((1, 12, 12), 0)
    ids[:, :6] = 10
    ids[:, 2:10, 4:8] = 13
    seen = {variant: SemanticDepthConsistency(variant).constrained(ids) for variant in VARIANTS}
    shown = {variant: found != 255 for variant, found in seen.items()}
    assert torch.equal(shown["boundary"], inside(ids)) and torch.equal(shown["triplet"], borders(ids))
    assert torch.equal(shown["plane"], surfaces(ids)) and {*seen["plane"].unique().tolist()} == {0, 255}
    assert shown["boundary"][0, 5, 5] and not shown["boundary"][0, 2, 5] and not shown["boundary"][0, 0].any()
    assert shown["triplet"][0, 4, 4] and not shown["triplet"][0, 9, 5]
