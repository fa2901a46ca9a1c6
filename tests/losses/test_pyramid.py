"""Smaller images: against Pillow, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch.testing import assert_close

from losses.pyramid import bilinear_pyramid, lanczos_pyramid
from perspective_resample.resize import lanczos, lanczos_matrix


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth colours, hard edges and noise, up to both ends of the range, (height, width, 3) uint8."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    image = np.stack([128 + 90 * np.sin(x / (3 + c)) * np.cos(y / 7) for c in range(3)], -1)
    image += 12 * random.standard_normal(image.shape)
    image[height // 3 : height // 2, width // 4 : width // 2] = (255, 0, 255)
    return image.clip(0, 255).astype(np.uint8)


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def pillow(image: np.ndarray, *sizes: tuple[int, int]) -> np.ndarray:
    """Resized to (height, width) one after the other, writable."""
    picture = Image.fromarray(image)
    for height, width in sizes:
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.array(picture)


def assert_within_one_level(found: torch.Tensor, expected: np.ndarray) -> None:
    difference = (255 * (found - as_tensor(expected))).abs()
    assert difference.max() < 1.01 and (difference > 0.5).float().mean() < 2e-3


@pytest.mark.parametrize("size", [(192, 640), (320, 1024), (96, 320), (8, 12)])
def test_halving_agrees_with_pillow(size):
    half = size[0] // 2, size[1] // 2
    image = photograph(*size)
    assert_within_one_level(lanczos(as_tensor(image), half), pillow(image, half))


@pytest.mark.parametrize(("before", "after"), [((50, 70), (32, 64)), ((32, 32), (48, 33)), ((40, 64), (40, 30))])
def test_any_size_agrees_with_pillow_rows_first(before, after):
    image = photograph(*before)
    assert_within_one_level(lanczos(as_tensor(image), after), pillow(image, (before[0], after[1]), after))


def test_each_level_of_a_pyramid_is_made_from_the_one_before():
    image, sizes = photograph(64, 96), [(64, 96), (32, 48), (16, 24), (8, 12)]
    levels = lanczos_pyramid(as_tensor(image), sizes)
    assert torch.equal(levels[0], as_tensor(image))
    for index, level in enumerate(levels[1:], 2):
        assert_within_one_level(level, pillow(image, *sizes[1:index]))


def test_images_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    images = torch.rand(3, 3, 16, 24)
    assert_close(lanczos(images, (8, 12)), torch.cat([lanczos(image[None], (8, 12)) for image in images]))


def test_a_mirror_image_shrinks_to_the_mirror_image():
    torch.manual_seed(1)
    image = (torch.rand(1, 3, 32, 64) * 255).round() / 255
    found, mirrored = lanczos(image, (16, 32)), lanczos(image.flip(3), (16, 32)).flip(3)
    assert (found - mirrored).abs().max() < 1.01 / 255


def test_every_pixel_is_a_mean_of_those_before():
    assert_close(lanczos_matrix(64, 32, torch.ones(1)).sum(1), torch.ones(32))
    assert torch.equal(lanczos(torch.ones(1, 3, 32, 32), (16, 16)), torch.ones(1, 3, 16, 16))


def test_bilinear_levels_are_made_from_the_whole_image():
    torch.manual_seed(2)
    image = torch.rand(1, 3, 32, 64)
    whole, quarter = bilinear_pyramid(image, [(32, 64), (8, 16)])
    assert whole is image
    assert torch.equal(quarter, F.interpolate(image, (8, 16), mode="bilinear", align_corners=False))
