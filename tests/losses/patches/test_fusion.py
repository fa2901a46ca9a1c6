"""Fits, blending and fusion of patch estimates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses.patches.fusion import Canvas, fit, fitted_patches, fuse, fusion_weight, mix, soft_mask
from losses.patches.refine import CachedMaps, PatchRefiner
from losses.patches.selection import Patches, select
from losses.patches.sequential import blend_sequentially
from tests import golden


def enlarged(values: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(torch.from_numpy(values), size, mode="bilinear", align_corners=True)


@pytest.fixture(scope="module")
def case() -> tuple[Patches, list[torch.Tensor], torch.Tensor, dict[str, np.ndarray]]:
    """Six patches of a 192x640 disparity with estimates of two sources."""
    _, want = golden.load("sgdem_patch_merge")
    y = torch.linspace(0, 1, 192).view(1, 1, 192, 1)
    disp = 0.02 + 0.25 * y**2 + 0.1 * enlarged(golden.uniform(141, 1, 1, 6, 20), (192, 640))
    corners, zero = torch.from_numpy(want["rects"]).long(), torch.zeros(6, dtype=torch.long)
    patches = Patches(128, zero, corners[:, 0], corners[:, 1], zero)
    crop = patches.cut(disp)[:, 0]
    of_self = 0.3 + 1.5 * crop + 0.15 * enlarged(golden.uniform(142, 6, 1, 9, 9), (128, 128))[:, 0]
    of_teacher = 2000 * crop + 150 * enlarged(golden.uniform(143, 6, 1, 9, 9), (128, 128))[:, 0] + 10
    return patches, [of_self, of_teacher], disp, want


@pytest.mark.parametrize(("blend", "name"), [("window", "decided"), ("released", "released")])
def test_merging_matches_the_golden(case, blend, name):
    patches, estimates, disp, want = case
    found = PatchRefiner(128, blend=blend).merge([(patches, estimates)], disp)
    golden.assert_close_to_max(found.disparity[0, 0, ::2, ::2].numpy(), want[name], 1e-5)
    np.testing.assert_array_equal(found.covered[0, 0, ::2, ::2], want["cover"].astype(bool))


def test_fits_and_maps_of_each_source_match_the_golden(case):
    patches, estimates, disp, want = case
    for source, (estimate, name) in enumerate(zip(estimates, ("self", "teacher"), strict=True)):
        slope, offset = fit(estimate.flatten(1), patches.cut(disp).flatten(1))
        np.testing.assert_allclose(slope[:, 0], want["coefs"][:, 2 * source], rtol=1e-4)
        np.testing.assert_allclose(offset[:, 0], want["coefs"][:, 2 * source + 1], rtol=1e-4, atol=1e-5)
        canvas = Canvas.empty(disp)
        canvas.add(patches, disp, estimate)
        values, covered = canvas.map(disp)
        inside = covered.view(192, 640)[::2, ::2].numpy()
        found = mix([values], covered, disp)[0, 0, ::2, ::2].numpy()
        blended = values.view(192, 640)[::2, ::2].numpy()
        close = [
            np.abs(m[inside] - want[f"decided_{name}"][inside]).max() / want[f"decided_{name}"].max()
            for m in (blended, found)
        ]
        assert min(close) < 1e-5, close


def test_soft_masks_match_the_released_ones():
    _, want = golden.load("sgdem_gaussian_masks")
    assert_close(soft_mask(192, 640)[::4, ::4], torch.from_numpy(want["mask_192x640_step4"]), rtol=0, atol=1e-6)
    assert_close(soft_mask(160, 160)[32:, 32:][::2, ::2], torch.from_numpy(want["mask_upper_128"]), rtol=0, atol=1e-6)
    for height, width in ((128, 224), (176, 608)):
        covered = torch.zeros(2, 1, 192, 640, dtype=torch.bool)
        covered[1, :, 3 : 3 + height, 10 : 10 + width] = True
        found = fusion_weight(covered)
        assert_close(
            found[1, 0, 3 : 3 + height, 10 : 10 + width][::4, ::4],
            torch.from_numpy(want[f"fusion_{height}x{width}_step4"]),
            rtol=0,
            atol=1e-6,
        )
        assert not bool(found[0].any()) and not bool(found[~covered].any())


def test_the_fit_is_least_squares():
    torch.manual_seed(0)
    x, y = torch.rand(3, 200), torch.rand(3, 200)
    counted = torch.rand(3, 200) > 0.3
    slope, offset = fit(x, y, counted)
    for row in range(3):
        expected = np.polyfit(x[row][counted[row]].double(), y[row][counted[row]].double(), 1)
        np.testing.assert_allclose([slope[row].item(), offset[row].item()], expected, rtol=1e-4)
    slope, offset = fit(torch.full((1, 50), 3.0), y[:, :50][:1])
    assert slope.item() == 0 and offset.item() == pytest.approx(y[0, :50].mean().item())


def street(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, Patches]:
    """Images with texture everywhere, their disparity, and patches of 64."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, 96, 160, generator=generator)
    disp = (
        0.1
        + 0.5 * torch.linspace(0, 1, 96).view(1, 1, 96, 1)
        + 0.02 * torch.rand(batch, 1, 96, 160, generator=generator)
    )
    (patches,) = select(image, 64)
    return image, disp, patches


def test_any_affine_estimate_of_the_truth_gives_the_disparity_back():
    _, disp, patches = street()
    scale = torch.linspace(0.1, 50, len(patches)).view(-1, 1, 1)
    found = PatchRefiner(64).merge([(patches, [scale * patches.cut(disp)[:, 0] + 3, patches.cut(disp)[:, 0]])], disp)
    assert_close(found.disparity, disp, rtol=1e-4, atol=1e-5)
    assert bool(found.covered.any()) and not bool(found.covered.all())


def test_an_upside_down_estimate_is_left_out():
    _, disp, patches = street()
    wrong = patches.cut(disp)[:, 0].clone()
    wrong[0] = -wrong[0]
    wrong[1:] += 0.05 * torch.rand(wrong[1:].shape, generator=torch.Generator().manual_seed(1))
    without = Patches(64, *(values[1:] for values in (patches.image, patches.y, patches.x, patches.place)))
    refiner = PatchRefiner(64)
    assert_close(
        refiner.merge([(patches, [wrong])], disp).disparity, refiner.merge([(without, [wrong[1:]])], disp).disparity
    )
    assert fitted_patches(patches, disp, wrong)[1][0].item() < 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_estimate_that_is_no_number_is_left_out(bad):
    _, disp, patches = street()
    wrong = patches.cut(disp)[:, 0].clone()
    wrong[0, 5, 5] = bad
    without = Patches(64, *(values[1:] for values in (patches.image, patches.y, patches.x, patches.place)))
    refiner = PatchRefiner(64)
    assert_close(
        refiner.merge([(patches, [wrong])], disp).disparity, refiner.merge([(without, [wrong[1:]])], disp).disparity
    )


def test_pixels_need_both_sources():
    _, disp, patches = street(1)
    right = patches.cut(disp)[:, 0]
    found = PatchRefiner(64).merge([(patches, [right, -right])], disp)
    assert not bool(found.covered.any())
    assert_close(found.disparity, disp, rtol=0, atol=0)


def test_blending_does_not_depend_on_the_order():
    _, disp, patches = street()
    estimate = patches.cut(disp)[:, 0] + 0.1 * torch.rand(len(patches), 64, 64)
    order = torch.randperm(len(patches))
    shuffled = Patches(64, *(values[order] for values in (patches.image, patches.y, patches.x, patches.place)))
    refiner = PatchRefiner(64)
    assert_close(
        refiner.merge([(patches, [estimate])], disp).disparity,
        refiner.merge([(shuffled, [estimate[order]])], disp).disparity,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_batch_is_every_image_by_itself():
    image, disp, _ = street()

    def halved(x: torch.Tensor) -> torch.Tensor:
        return (x - 0.5).square().mean(1, keepdim=True) - x[:, :1]

    refiner = PatchRefiner(64, chunk=5)
    both = refiner(image, disp, halved, lambda x: x[:, 1])
    for number in range(2):
        one = refiner(image[number : number + 1], disp[number : number + 1], halved, lambda x: x[:, 1])
        assert_close(both.disparity[number], one.disparity[0], rtol=1e-5, atol=1e-6)
    assert both.count == sum(len(p) for p in both.patches) > 0
    assert not torch.equal(both.disparity, disp)


def test_the_share_of_the_patches_is_bounded_and_scales_them():
    image, disp, _ = street()
    full, none = (PatchRefiner(64, share=share)(image, disp, lambda x: x.mean(1, keepdim=True)) for share in (0.6, 0.0))
    assert full.weight.max() <= 0.6 * 0.51 + 1e-6
    assert_close(none.disparity, disp)
    mixed = torch.rand_like(disp)
    covered = torch.ones_like(disp, dtype=torch.bool)
    refined, weight = fuse(disp, mixed, covered, 0.6)
    assert_close(refined, disp * (1 - weight) + weight * mixed)


def test_nothing_selected_changes_nothing():
    disp = torch.rand(2, 1, 96, 160)
    for blend in ("window", "released"):
        found = PatchRefiner(128, blend=blend)(torch.rand(2, 3, 96, 160), disp, lambda x: x)
        assert found.count == 0 and torch.equal(found.disparity, disp) and not bool(found.covered.any())


def test_grown_patches_are_blended_too():
    torch.manual_seed(0)
    image, disp = torch.rand(1, 3, 192, 256), torch.rand(1, 1, 192, 256)
    for blend in ("window", "released"):
        found = PatchRefiner(64, enlarge=True, blend=blend)(image, disp, lambda x: x.mean(1, keepdim=True))
        assert len(found.patches) > 1 and bool(found.disparity.isfinite().all())
        assert not torch.equal(found.disparity, disp)


def test_sequential_blending_lets_later_patches_fade_in():
    disp = torch.zeros(1, 1, 192, 256)
    index = torch.zeros(2, dtype=torch.long)
    disp[..., :] = torch.linspace(0.1, 0.9, 256)
    patches = Patches(128, index, torch.tensor([64, 64]), torch.tensor([0, 64]), index)
    estimate = patches.cut(disp)[:, 0]
    (found,), covered = blend_sequentially([(patches, [estimate])], disp)
    assert_close(found[covered], disp.flatten(1)[covered], rtol=1e-4, atol=1e-5)
    assert covered.view(192, 256)[64:, :192].all() and covered.sum() == 128 * 192


@pytest.mark.parametrize("grid", [False, True])
def test_cached_answers_are_found_where_the_patches_are(grid):
    image, disp, patches = street()
    whole = torch.rand(2, 1, 96, 160)
    maps = whole
    if grid:
        maps = torch.zeros(2, int(patches.place.max()) + 1, 64, 64)
        maps[patches.image, patches.place] = patches.cut(whole)[:, 0]
    assert torch.equal(CachedMaps(maps, 96, 160)(patches), patches.cut(whole)[:, 0])
    refiner = PatchRefiner(64)
    cached = refiner(image, disp, lambda x: x.mean(1), lookup=CachedMaps(maps, 96, 160))
    direct = refiner.merge(
        [(patches, [PatchRefiner(64)._chunked(lambda x: _self(x), patches.cut(image)), patches.cut(whole)[:, 0]])], disp
    )
    assert_close(cached.disparity, direct.disparity)


def _self(x: torch.Tensor) -> torch.Tensor:
    from losses.patches.scales import three_scales

    return three_scales(lambda part: part.mean(1), x)


def test_outlines_are_the_borders_of_the_patches():
    image, disp, patches = street(1)
    found = PatchRefiner(64)(image, disp, lambda x: x.mean(1, keepdim=True)).outlines()[0, 0]
    expected = torch.zeros_like(found)
    for y, x in zip(patches.y.tolist(), patches.x.tolist(), strict=True):
        expected[[y, y + 63], x : x + 64] = True
        expected[y : y + 64, [x, x + 63]] = True
    assert torch.equal(found, expected)


def test_a_refined_disparity_stays_one():
    disp, covered = torch.full((1, 1, 96, 320), 0.5), torch.ones(1, 1, 96, 320, dtype=torch.bool)
    mixed = torch.linspace(-9, 9, disp.numel()).view_as(disp)
    refined, _ = fuse(disp, mixed, covered)
    assert (refined.min(), refined.max()) == (0, 1)
