"""Resizing and cropping on the CPU; colour works on the device, see `augment`.

Pictures are brought to the training size first. Segmentation then shrinks and crops the result, as the published code
does, so that everything random starts from a picture that can be kept, see `cache.data`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

Filter = Literal["bilinear", "lanczos"]
"""What an image is resampled with on its way to training size; both are antialiased."""
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}

RESCALE_MAX = 1.5
"""Segmentation images shrink by a factor drawn from 1 to this."""


@dataclass(frozen=True, slots=True)
class Window:
    """A crop of an image resized to `size`: its top left corner and (height, width) in pixels of that size."""

    size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the crop in pixels of the image as it was, (height, width)."""
        down, across = height / self.size[0], width / self.size[1]
        right, bottom = (self.left + self.width) * across, (self.top + self.height) * down
        return self.left * across, self.top * down, min(right, width), min(bottom, height)


def smallest_size(height: int, width: int) -> tuple[int, int]:
    """The least (height, width) that a segmentation image may shrink to."""
    return int(height // RESCALE_MAX), int(width // RESCALE_MAX)


def random_window(rng: np.random.Generator, size: tuple[int, int], crop: tuple[int, int]) -> Window:
    """Shrinks (height, width) by a factor from U(1, 1.5), then takes a window of `crop` anywhere inside."""
    factor = rng.uniform(1.0, RESCALE_MAX)
    height, width = int(size[0] // factor), int(size[1] // factor)
    top = int(rng.integers(height - crop[0] + 1))
    left = int(rng.integers(width - crop[1] + 1))
    return Window((height, width), top, left, *crop)


def resize_image(image: Image.Image, size: tuple[int, int], filter: Filter = "bilinear") -> np.ndarray:
    """Pillow's antialiased resizing of an RGB image to `size` (height, width).

    Returns: (3, height, width) uint8, a view with the channels last in memory.
    """
    return np.asarray(image.resize(size[::-1], FILTERS[filter])).transpose(2, 0, 1)


def resize_window(image: Image.Image, window: Window, filter: Filter = "bilinear") -> np.ndarray:
    """The window of an RGB image resized as by `resize_image`, (3, height, width) uint8; only it is computed."""
    box = window.box(image.height, image.width)
    return np.asarray(image.resize((window.width, window.height), FILTERS[filter], box)).transpose(2, 0, 1)


def turn_window(image: Image.Image, angle: float, box: tuple[int, int, int, int]) -> Image.Image:
    """A window of an image turned about its centre, bilinear and black outside, as Pillow turns and crops it.

    Only the window is computed, with the matrix of `Image.rotate`.

    Args:
        image: RGB
        angle: degrees, counter-clockwise
        box: left, top, right, bottom of the window
    """
    if not angle:
        return image.crop(box)
    turn = -math.radians(angle)
    a, b = round(math.cos(turn), 15), round(math.sin(turn), 15)  # as there
    left, top, right, bottom = box
    across, down = left - image.width / 2, top - image.height / 2
    matrix = (a, b, a * across + b * down + image.width / 2, -b, a, a * down - b * across + image.height / 2)
    return image.transform((right - left, bottom - top), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pillow's nearest neighbour; labels (H, W) uint8 -> (height, width)."""
    return np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def shrink_image(image: np.ndarray, window: Window) -> np.ndarray:
    """Pillow's antialiased bilinear resizing to the size of the window; only the window itself is computed.

    Shapes:  image (3, H, W) uint8    Returns: (3, height, width) uint8 of the window.
    """
    box = window.box(*image.shape[1:])
    planes = (Image.fromarray(plane) for plane in image)
    return np.stack([plane.resize((window.width, window.height), Image.Resampling.BILINEAR, box) for plane in planes])


def shrink_labels(labels: np.ndarray, window: Window) -> np.ndarray:
    """Pillow's nearest neighbour; labels (H, W) uint8 -> (height, width) of the window."""
    small = resize_labels(labels, window.size)
    return small[window.top : window.top + window.height, window.left : window.left + window.width]
