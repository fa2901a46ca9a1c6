"""Resizing and cropping."""

import numpy as np
import pytest
from PIL import Image

from dataloader.transforms import (
    Window,
    random_window,
    resize_image,
    resize_labels,
    shrink_image,
    shrink_labels,
    smallest_size,
    turn_window,
)
from tests import golden
from tests.dataloader import tiny


def golden_image() -> np.ndarray:
    coarse = np.floor(256 * golden.uniform(1600, 20, 62, 3)).astype(np.uint8)
    return coarse.repeat(4, 0).repeat(4, 1)


def test_resizing_matches_the_published_code_to_the_bit():
    _, want = golden.load("sgdepth_data")
    height, width = want["resized"].shape[:2]
    found = resize_image(Image.fromarray(golden_image()), (height, width))
    assert np.array_equal(found, want["resized"].transpose(2, 0, 1))


def pixels(size: tuple[int, int], seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, *size), dtype=np.uint8)


@pytest.mark.parametrize(
    "window",
    [
        Window((40, 100), 0, 0, 16, 32),
        Window((40, 100), 24, 68, 16, 32),
        Window((37, 91), 11, 23, 16, 32),
        Window((12, 30), 0, 0, 12, 30),
    ],
)
@pytest.mark.parametrize("size", [(60, 160), (61, 143), (30, 80)])
def test_a_window_equals_shrinking_everything_and_cropping(window, size):
    image = pixels(size)
    everything = resize_image(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), window.size)
    rows, columns = (
        slice(start, start + count) for start, count in ((window.top, window.height), (window.left, window.width))
    )
    difference = shrink_image(image, window).astype(int) - everything[:, rows, columns]
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 0.1  # Pillow keeps the edges of the window in single precision


def test_how_the_pixels_lie_in_memory_does_not_matter():
    image, window = pixels((60, 160)), Window((41, 107), 3, 40, 24, 64)
    interleaved = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert np.array_equal(shrink_image(image, window), shrink_image(interleaved, window))


@pytest.mark.parametrize("size", [(60, 160), (61, 143), (30, 80)])
def test_labels_take_the_pixels_that_pillow_takes(size):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 19, size, dtype=np.uint8)
    resized = np.asarray(Image.fromarray(labels).resize((91, 37), Image.Resampling.NEAREST))
    assert np.array_equal(resize_labels(labels, (37, 91)), resized)
    assert np.array_equal(shrink_labels(labels, Window((37, 91), 5, 9, 30, 64)), resized[5:35, 9:73])


def test_windows_shrink_by_one_to_one_and_a_half_and_stay_inside():
    rng = np.random.default_rng(0)
    windows = [random_window(rng, (512, 1024), (192, 640)) for _ in range(500)]
    heights = [window.size[0] for window in windows]
    least = smallest_size(512, 1024)
    assert least == (341, 682)
    assert min(heights) in range(341, 346) and max(heights) in range(505, 513)
    for window in windows:
        assert 0 <= window.top <= window.size[0] - 192 and 0 <= window.left <= window.size[1] - 640
    assert min(window.left for window in windows) < 20
    assert any(window.left == window.size[1] - 640 for window in windows)


def test_a_crop_as_large_as_the_smallest_image_always_fits():
    rng = np.random.default_rng(1)
    for _ in range(300):
        window = random_window(rng, (96, 192), smallest_size(96, 192))
        assert window.top + window.height <= window.size[0] and window.left + window.width <= window.size[1]


def test_image_and_labels_stay_aligned():
    labels = np.zeros((80, 120), np.uint8)
    labels[25:59, 39:89] = 200
    image = resize_image(Image.fromarray(np.dstack([labels] * 3)), (38, 58))
    window = random_window(np.random.default_rng(2), (38, 58), (24, 32))
    blurred, exact = shrink_image(image, window)[0], shrink_labels(resize_labels(labels, (38, 58)), window)
    assert ((blurred > 100) == (exact > 0)).mean() > 0.95


def test_every_picture_shape_is_resized():
    assert resize_image(Image.fromarray(tiny.picture(0, (3, 5))), (64, 96)).shape == (3, 64, 96)


@pytest.mark.parametrize("size", [(37, 61), (40, 60)])
def test_a_window_is_turned_as_a_part_of_the_whole_image(size):
    image = Image.fromarray(pixels(size).transpose(1, 2, 0))
    rng = np.random.default_rng(0)
    for angle in (0.0, *rng.uniform(-30, 30, 8)):
        left, top = (int(rng.integers(side)) for side in (20, 12))
        box = (left, top, left + 33, top + 21)
        found = np.asarray(turn_window(image, angle, box)).astype(int)
        want = np.asarray(image.rotate(angle, Image.Resampling.BILINEAR).crop(box))
        assert np.abs(found - want).max() <= 1 and (found != want).mean() < 1e-3
