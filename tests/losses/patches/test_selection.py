"""Which patches are chosen: against the released code, and by a loop that takes the rule literally."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from losses.patches.selection import Grid, automatic_size, densities, select, strong_gradients
from tests import golden

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def textured(height: int, width: int, seed: int) -> torch.Tensor:
    """Smooth image with noisy regions, (1, 3, H, W) in [0, 1], as the golden files use it."""
    base = F.interpolate(
        torch.from_numpy(golden.uniform(seed, 1, 3, height // 16, width // 16)),
        (height, width),
        mode="bilinear",
        align_corners=True,
    )
    noise = torch.from_numpy(golden.uniform(seed + 1, 1, 3, height, width))
    gate = F.interpolate(torch.from_numpy(golden.uniform(seed + 2, 1, 1, height // 48, width // 48)), (height, width))
    return (0.6 * base + 0.4 * noise * (gate > 0.6)).clamp(0, 1)


def rectangles(groups: list) -> np.ndarray:
    return np.concatenate([np.stack([g.y, g.x, np.full(len(g), g.size), np.full(len(g), g.size)], 1) for g in groups])


@pytest.mark.parametrize(("height", "seed"), [(192, 211), (288, 214), (384, 217)])
def test_densities_and_patches_match_the_released_code(height, seed):
    _, want = golden.load("sgdem_patch_select")
    width = height * 10 // 3
    image = (textured(height, width, seed) - MEAN) / STD
    gradients, grid = strong_gradients(image), Grid.of(height, width, 128)
    name = f"tex_{height}"
    # A pixel within rounding of the threshold falls on either side; alone it changes a density by 5e-5.
    golden.assert_close_to_max(densities(gradients, grid).numpy(), want[f"{name}_density"].reshape(1, -1), 1e-4)
    np.testing.assert_allclose(gradients.mean().item(), want[f"{name}_mean_density"], rtol=1e-5)
    (plain,) = select(image, 128)
    np.testing.assert_array_equal(rectangles([plain])[:, :3], want[f"{name}_base_yxs"])
    np.testing.assert_array_equal(rectangles(select(image, 128, enlarge=True)), want[f"{name}_rects"])


def test_a_street_photo_gives_the_released_patches():
    _, want = golden.load("sgdem_patch_select")
    photo = torch.from_numpy(want["photo_192_rgb_uint8"]).permute(2, 0, 1)[None].float() / 255
    (found,) = select((photo - MEAN) / STD, 128)
    np.testing.assert_array_equal(rectangles([found])[:, :3], want["photo_192_base_yxs"])
    assert 0 < len(select(photo)[0]) <= 22


@pytest.mark.parametrize(
    ("height", "width", "size"), [(96, 320, 64), (192, 640, 128), (288, 960, 192), (384, 1280, 256)]
)
def test_the_automatic_size_keeps_22_candidates(height, width, size):
    assert automatic_size(height) == size
    assert len(Grid.of(height, width)) == 22


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (192, 640, 128, (2, 11)),
        (288, 960, 128, (4, 18)),
        (384, 1280, 128, (6, 24)),
        (128, 640, 128, (0, 0)),
        (64, 64, 64, (0, 0)),
        (96, 96, 64, (2, 2)),
    ],
)
def test_the_grid_leaves_out_what_ends_at_the_border(height, width, size, expected):
    grid = Grid.of(height, width, size)
    assert (grid.rows, grid.columns) == expected
    assert bool(grid) == (expected != (0, 0))


def noisy(batch: int = 3, height: int = 96, width: int = 192) -> torch.Tensor:
    """Images with noise in a few places."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(batch, 3, height, width, generator=generator)
    gate = F.interpolate(torch.rand(batch, 1, 4, 8, generator=generator), (height, width)) > 0.6
    return 0.5 + 0.4 * (noise - 0.5) * gate


def literally(image: torch.Tensor, size: int, stride: int) -> list[tuple[int, int, int]]:
    """(image, y, x) of every patch, one candidate after the other."""
    found = []
    for number, gradients in enumerate(strong_gradients(image)):
        height, width = gradients.shape
        for y in range(0, height - size, stride):
            for x in range(0, width - size, stride):
                if gradients[y : y + size, x : x + size].mean() >= gradients.mean():
                    found.append((number, y, x))
    return found


def test_a_batch_is_every_image_by_itself():
    image = noisy()
    (found,) = select(image, 64)
    assert list(zip(found.image.tolist(), found.y.tolist(), found.x.tolist(), strict=True)) == literally(image, 64, 24)
    assert 0 < len(found) < 3 * len(Grid.of(96, 192, 64))


def test_the_threshold_is_the_mean_of_pixels_that_have_gradients():
    gradients = strong_gradients(noisy())
    assert bool(((gradients == 0) | (gradients >= 1e-3)).all()) and 0 < (gradients > 0).double().mean() < 0.6
    assert not bool(strong_gradients(torch.full((1, 3, 64, 64), 0.5)).any())


def test_at_most_so_many_and_those_are_the_densest():
    image = noisy()
    (every,), (few,) = select(image, 64), select(image, 64, maximum=2)
    density = densities(strong_gradients(image), Grid.of(96, 192, 64))
    for number in range(3):
        kept = few.place[few.image == number]
        others = every.place[every.image == number]
        best = others[density[number, others].argsort(descending=True)[:2]]
        assert sorted(kept.tolist()) == sorted(best.tolist())


def test_a_mirrored_grid_gives_mirrored_patches():
    image = noisy()
    (plain,) = select(image, 64)
    mirrored = torch.tensor([True, False, True])
    turned = torch.where(mirrored[:, None, None, None], image.flip(-1), image)
    (found,) = select(turned, 64, mirrored=mirrored)
    assert torch.equal(found.place, plain.place)
    cut = torch.where(mirrored[found.image][:, None, None, None], found.cut(turned).flip(-1), found.cut(turned))
    assert torch.equal(cut, plain.cut(image))


def test_cutting_and_positions_are_slices():
    image = noisy()
    (found,) = select(image, 64)
    cut, flat = found.cut(image), image[:, :1].flatten()
    for number in range(len(found)):
        i, y, x = found.image[number], found.y[number], found.x[number]
        assert torch.equal(cut[number], image[i, :, y : y + 64, x : x + 64])
    assert torch.equal(flat[found.positions(96, 192)], cut[:, 0])


def test_grown_patches_stay_inside_and_dense():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 192, 256)
    groups = select(image, 64, enlarge=True)
    assert len(groups) > 1 and [g.size for g in groups] == sorted({g.size for g in groups}, reverse=True)
    gradients = strong_gradients(image)[0]
    for g in groups:
        for y, x in zip(g.y.tolist(), g.x.tolist(), strict=True):
            assert 0 <= y <= 192 - g.size and 0 <= x <= 256 - g.size
            assert gradients[y : y + g.size, x : x + g.size].mean() >= gradients.mean() * (1 - 1e-9)
    assert sum(len(g) for g in groups) == len(select(image, 64)[0])


def test_images_too_small_have_no_patches():
    (found,) = select(torch.rand(2, 3, 64, 64), 64)
    assert len(found) == 0
