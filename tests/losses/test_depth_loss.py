"""The depth loss against the published code, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from losses.depth import DepthLoss
from losses.photometric import Reference, dssim, photometric_error
from losses.smoothness import edge_aware_smoothness
from perspective_resample.views import synthesise
from tests import golden

VARIANTS = {
    "default": {},
    "moving_mask": {},
    "avg_reprojection": {"average": True},
    "no_smoothness": {"smoothness": 0.0},
    "noauto_min": {"automasking": False},
}


def uniform(seed: int, *shape: int) -> torch.Tensor:
    # The recipes are evaluated in float32 and cast up afterwards.
    return torch.from_numpy(golden.uniform(seed, *shape))


@pytest.mark.parametrize("variant", VARIANTS)
def test_value_and_gradients_match_the_published_loss(variant):
    meta, want = golden.load("sgdepth_depth_loss")
    seed, R = meta["inputs"]["seed"], meta["inputs"]["R"]
    batch, height, width = meta["inputs"]["N,H,W"]
    disp = {
        r: (0.05 + 0.9 * uniform(seed + r, batch, 1, height >> r, width >> r)).double().requires_grad_()
        for r in range(R)
    }
    base = uniform(seed + 20, batch, 3, height, width)
    sources = {
        f: (base + 0.3 * (uniform(seed + 21 + i, batch, 3, height, width) - 0.5)).clamp(0, 1).double()
        for i, f in enumerate((-1, 1))
    }
    warped = {}
    for i, f in enumerate((-1, 1)):
        each = [base + 0.25 * (uniform(seed + 40 + 10 * r + i, batch, 3, height, width) - 0.5) for r in range(R)]
        warped[f] = torch.cat(each).clamp(0, 1).double().requires_grad_()
    base = base.double()
    keep = uniform(seed + 30, batch, height, width) > 0.3 if variant == "moving_mask" else None
    loss, terms = DepthLoss(**VARIANTS[variant])(base, sources, warped, disp, keep)
    (1000 * loss).backward()
    assert_close(loss.item(), float(want[f"{variant}_loss"][0]), rtol=1e-9, atol=0)
    per_resolution = [terms[f"loss/{r}"].item() for r in range(R)]
    np.testing.assert_allclose(per_resolution, want[f"{variant}_per_res"], rtol=1e-9)
    gradients = {
        "disp_0": disp[0].grad,
        "disp_3": disp[3].grad,
        "color_prev_0": warped[-1].grad[:batch],
        "color_next_3": warped[1].grad[3 * batch : 4 * batch],
    }
    for name, gradient in gradients.items():
        if f"{variant}_grad_{name}" in want:
            golden.assert_close_to_max(gradient.numpy(), want[f"{variant}_grad_{name}"], 1e-5)


def test_whole_chain_matches_the_published_one():
    meta, want = golden.load("sgdepth_warp_loss")
    seed, R = meta["inputs"]["seed"], meta["inputs"]["R"]
    batch, height, width = meta["inputs"]["N,H,W"]
    disp = {
        r: (0.005 + 0.03 * uniform(seed + r, batch, 1, height >> r, width >> r)).double().requires_grad_()
        for r in range(R)
    }
    y, x = np.mgrid[:height, :width]
    images = {}
    for i, f in enumerate((0, -1, 1)):
        pattern = np.stack([0.5 + 0.3 * np.sin((x + 2 * i) / (4 + ch)) * np.cos((y + ch) / 5) for ch in range(3)])
        noise = uniform(seed + 20 + i, batch, 3, height, width) - 0.5
        images[f] = (torch.from_numpy(pattern) + 0.1 * noise).clamp(0, 1)
    motion = {f: torch.from_numpy(want[f"in_T_{name}"]).requires_grad_() for f, name in ((-1, "prev"), (1, "next"))}
    K, inv_K = torch.from_numpy(want["in_K"]), torch.from_numpy(want["in_inv_K"])
    views = synthesise(disp, motion, images, K, inv_K, 0.1, 100.0)
    loss, terms = DepthLoss(meta["inputs"]["smoothness"])(images[0], images, views.color, disp)
    loss.backward()
    assert_close(loss.item(), float(want["loss"][0]), rtol=1e-9, atol=0)
    np.testing.assert_allclose([terms[f"loss/{r}"].item() for r in range(R)], want["per_res"], rtol=1e-9)
    for r in range(R):
        golden.assert_close_to_max(1000 * disp[r].grad.numpy(), want[f"grad_disp_{r}"], 1e-5)
    for f, name in ((-1, "prev"), (1, "next")):
        golden.assert_close_to_max(motion[f].grad.numpy(), want[f"grad_T_{name}"], 1e-5)


def scene(batch: int = 1, height: int = 16, width: int = 24) -> tuple[torch.Tensor, dict, dict, dict]:
    torch.manual_seed(0)
    target = torch.rand(batch, 3, height, width, dtype=torch.float64)
    sources = {f: torch.rand_like(target) for f in (-1, 1)}
    warped = {f: torch.rand(2 * batch, 3, height, width, dtype=torch.float64) for f in (-1, 1)}
    disp = {r: torch.rand(batch, 1, height >> r, width >> r, dtype=torch.float64) + 0.1 for r in (0, 1)}
    return target, sources, warped, disp


def test_loss_of_a_fixed_scene_is_pinned():
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(12.0), indexing="ij")
    image = torch.stack((x / 12, y / 8, (x + y) / 20)).double()[None]
    warped = {f: image.roll(f, 3) * 0.9 for f in (-1, 1)}
    sources = {f: image.roll(2 * f, 3) for f in (-1, 1)}
    disp = {0: (0.2 + 0.01 * x * y).double()[None, None]}
    loss, _ = DepthLoss()(image, sources, warped, disp)
    assert_close(loss.item(), 0.01597206330147298, rtol=1e-9, atol=0)


def test_perfect_views_cost_only_smoothness():
    target, sources, warped, disp = scene()
    warped = {f: target.repeat(2, 1, 1, 1) for f in warped}
    loss, _ = DepthLoss(smoothness=0.0)(target, sources, warped, disp)
    assert loss.item() < 1e-12


def test_a_tie_counts_as_unmoved_and_gives_no_gradient():
    target, sources, _, disp = scene()
    warped = {f: sources[f].repeat(2, 1, 1, 1).requires_grad_() for f in (-1, 1)}
    DepthLoss(smoothness=0.0)(target, sources, warped, disp)[0].backward()
    assert all(view.grad.abs().max() == 0 for view in warped.values())


def test_equal_neighbours_send_the_gradient_to_one_of_them_whole():
    target, sources, warped, disp = scene()
    view = warped[1]
    views = {f: view.clone().requires_grad_() for f in (-1, 1)}
    DepthLoss(smoothness=0.0, automasking=False)(target, sources, views, disp)[0].backward()
    assert views[1].grad.abs().max() > 0 and views[-1].grad.abs().max() == 0


def test_dropped_pixels_add_nothing_but_still_divide():
    target, sources, warped, disp = scene()
    keep = torch.zeros(1, 16, 24, dtype=torch.bool)
    keep[:, :8] = True
    full = DepthLoss(smoothness=0.0)
    parts = [full(target, sources, warped, disp, mask)[0] for mask in (keep, ~keep)]
    assert_close(parts[0] + parts[1], full(target, sources, warped, disp)[0])
    assert full(target, sources, warped, disp, keep & ~keep)[0] == 0


def test_average_is_never_below_the_minimum():
    target, sources, warped, disp = scene()
    minimum = DepthLoss(smoothness=0.0)(target, sources, warped, disp)[0]
    assert DepthLoss(smoothness=0.0, average=True)(target, sources, warped, disp)[0] > minimum


@pytest.mark.parametrize("average", [False, True])
def test_maps_are_what_the_loss_takes_the_mean_of(average):
    target, sources, warped, disp = scene()
    loss, plain = (DepthLoss(smoothness=0.0, average=average, automasking=masks) for masks in (True, False))
    error, moved = loss.maps(target, sources, warped)
    assert error.shape == moved.shape == (1, 16, 24) and not error.requires_grad and moved.any() and not moved.all()
    first = {f: view[:1].requires_grad_() for f, view in warped.items()}
    assert_close(plain(target, sources, first, {0: disp[0]})[0], error.mean())
    assert plain.maps(target, sources, first)[1] is None
    unmoved, _ = loss.maps(target, sources, sources)
    assert_close(loss(target, sources, first, {0: disp[0]})[0], error.where(moved, unmoved).mean())


def test_window_statistics_equal_pooling():
    torch.manual_seed(1)
    a, b = torch.rand(2, 3, 9, 11).double(), torch.rand(2, 3, 9, 11).double()
    pad, pool = torch.nn.ReflectionPad2d(1), torch.nn.AvgPool2d(3, 1)
    pa, pb = pad(a), pad(b)
    ma, mb = pool(pa), pool(pb)
    va, vb, cov = pool(pa**2) - ma**2, pool(pb**2) - mb**2, pool(pa * pb) - ma * mb
    ssim = (2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    assert_close(dssim(a, Reference.of(b))[0], ((1 - ssim) / 2).clamp(0, 1))


def test_gradient_of_the_photometric_error_is_exact():
    torch.manual_seed(3)
    reference = Reference.of(torch.rand(1, 2, 5, 6, dtype=torch.float64))
    image = torch.rand(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: photometric_error(x, reference), image)


def test_photometric_error_lies_between_zero_and_one():
    image = torch.rand(1, 3, 8, 8)
    assert photometric_error(image, Reference.of(image)).abs().max() < 1e-6
    assert 0.15 <= photometric_error(torch.ones(1, 3, 8, 8), Reference.of(torch.zeros(1, 3, 8, 8))).max() <= 1


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_smoothness_ignores_the_scale_of_disparity(factor):
    torch.manual_seed(2)
    disp, image = torch.rand(2, 1, 8, 16) + 0.1, torch.rand(2, 3, 8, 16)
    assert_close(edge_aware_smoothness(disp * factor, image), edge_aware_smoothness(disp, image), rtol=1e-3, atol=0)


def test_smoothness_forgives_steps_at_image_edges():
    disp = torch.ones(1, 1, 8, 8)
    disp[..., 4:] = 2
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    assert edge_aware_smoothness(disp, edge) < edge_aware_smoothness(disp, torch.zeros(1, 3, 8, 8))


def test_smoothness_refuses_different_sizes():
    with pytest.raises(ValueError, match="smoothness: disp"):
        edge_aware_smoothness(torch.ones(1, 1, 4, 4), torch.ones(1, 3, 8, 8))
