"""Colour jitter against Pillow's, byte for byte."""

import random

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as pillow
from PIL import Image

from dataloader.augment import ORDERS, color_jitter
from dataloader.items import JITTER_RANGES
from tests import golden
from tests.dataloader import tiny

CHANGES = (pillow.adjust_brightness, pillow.adjust_contrast, pillow.adjust_saturation, pillow.adjust_hue)


def oracle(image: np.ndarray, factors: np.ndarray, order=ORDERS[0]) -> np.ndarray:
    """The published jitter: torchvision on a Pillow image, (H, W, 3) uint8."""
    changed = Image.fromarray(image)
    for column in order:
        changed = CHANGES[column](changed, factors[column])
    return np.asarray(changed)


def jitter(images: np.ndarray, factors: np.ndarray, order=ORDERS[0]) -> np.ndarray:
    """The product's jitter of (B, H, W, 3) uint8 pictures, back in whole levels."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)[:, None].float() / 255
    changed = color_jitter(batch, torch.from_numpy(np.asarray(factors, np.float32)), order)
    return (changed[:, 0] * 255).permute(0, 2, 3, 1).numpy()


def compare(images: np.ndarray, factors: np.ndarray, order=ORDERS[0]) -> None:
    expected = np.stack([oracle(image, row, order) for image, row in zip(images, factors, strict=True)])
    difference = np.abs(jitter(images, factors, order) - expected)
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


def draws(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.stack([[rng.uniform(low, high) for low, high in JITTER_RANGES] for _ in range(count)])


def test_jitter_agrees_with_pillow_for_the_factors_of_training():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    smooth = np.stack([tiny.picture(seed, (48, 64)) for seed in range(20)])
    for images in (noise, smooth):
        compare(images, draws(rng, 20))


@pytest.mark.parametrize("order", ORDERS[1:])
def test_jitter_agrees_with_pillow_in_every_order(order):
    rng = np.random.default_rng(ORDERS.index(order))
    smooth = np.stack([tiny.picture(seed, (48, 64)) for seed in range(4)])
    compare(smooth, draws(rng, 4), order)


def test_jitter_agrees_with_pillow_far_beyond_the_factors_of_training():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    compare(images, np.column_stack([rng.uniform(0, 2.5, (20, 3)), rng.uniform(-0.5, 0.5, 20)]))


def test_jitter_agrees_with_pillow_on_every_hue():
    """All pairs of (middle, largest) over the six orders of the channels: where a hue falls between two steps."""
    grid = np.stack(np.meshgrid(np.arange(0, 256, 5), np.arange(0, 256, 3), indexing="ij"), -1).reshape(-1, 2)
    low, high = grid.min(1), grid.max(1)
    columns = {"low": np.zeros_like(low), "middle": low, "high": high}
    orders = [
        ("low", "middle", "high"),
        ("low", "high", "middle"),
        ("middle", "low", "high"),
        ("middle", "high", "low"),
        ("high", "low", "middle"),
        ("high", "middle", "low"),
    ]
    images = np.stack([np.stack([columns[name] for name in order], -1)[None] for order in orders]).astype(np.uint8)
    for hue in (0.0, 0.1, -0.07, 0.31):
        compare(images, np.array([[1.0, 1.0, 1.0, hue]] * 6))


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_jitter_agrees_with_pillow_on_grey(level):
    compare(np.full((1, 8, 8, 3), level, np.uint8), np.array([[1.1, 0.9, 1.2, 0.08]]))


def test_published_jitter_is_reproduced():
    _, want = golden.load("sgdepth_data")
    factors = np.array([1.15, 0.85, 1.1, -0.07])  # as its description says
    assert np.array_equal(oracle(want["resized"], factors), want["jittered"])
    difference = np.abs(jitter(want["resized"][None], factors[None])[0] - want["jittered"])
    assert difference.max() <= 2 and difference.mean() <= 0.5


def test_published_network_input_is_the_normalised_jitter():
    _, want = golden.load("sgdepth_data")
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    normalised = ((want["jittered"] / np.float32(255) - mean) / std).transpose(2, 0, 1)[:, ::3, ::3]
    np.testing.assert_allclose(normalised, want["normalised"], atol=1e-6)


def test_published_draws_have_the_ranges_and_the_order_of_ours():
    """The published code draws from Python's stream: flip; brightness, contrast, saturation, hue, gamma, apply."""
    _, want = golden.load("sgdepth_data")
    random.seed(1600)
    for row in want["stream"]:
        flipped = random.uniform(0, 1) < 0.5
        factors = [random.uniform(low, high) for low, high in JITTER_RANGES]
        random.uniform(1, 1)
        applied = random.uniform(0, 1) < 0.5
        assert (flipped, applied) == tuple(row[:2].astype(bool))
        np.testing.assert_allclose(row[2:], factors if applied else [0, 0, 0, 0], rtol=1e-12)


def test_all_frames_of_a_sample_change_alike_and_samples_apart():
    picture = torch.from_numpy(tiny.picture(3).copy()).permute(2, 0, 1).float() / 255
    images = picture.expand(2, 3, -1, -1, -1)
    changed = color_jitter(images, torch.tensor([[0.9, 1.1, 0.85, 0.05], [1.2, 0.8, 1.1, -0.1]]))
    assert torch.equal(changed[0, 0], changed[0, 2])
    assert not torch.equal(changed[0, 0], changed[1, 0])


def test_the_mean_of_the_contrast_is_that_of_each_frame():
    dark, bright = torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.8)
    changed = color_jitter(torch.stack([dark, bright])[None], torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    assert torch.equal(changed[0].amax((1, 2, 3)), torch.tensor([51, 204]) / 255)


def test_neutral_factors_keep_grey_images():
    grey = torch.arange(256).float().reshape(1, 1, 1, 16, 16).expand(1, 1, 3, -1, -1) / 255
    assert torch.equal(color_jitter(grey, torch.tensor([[1.0, 1.0, 1.0, 0.0]])), grey)


def test_images_given_stay_as_they_are():
    images = torch.rand(1, 1, 3, 8, 8)
    before = images.clone()
    color_jitter(images, torch.tensor([[1.2, 0.8, 1.1, 0.1]]))
    assert torch.equal(images, before)


def test_factors_must_fit_the_batch():
    with pytest.raises(ValueError, match="color_jitter: images"):
        color_jitter(torch.rand(2, 1, 3, 8, 8), torch.ones(3, 4))
