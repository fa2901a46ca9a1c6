"""Resizing and cropping on the CPU, one step per file; colour works on the device, see `augment`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

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


def whole(height: int, width: int) -> Window:
    """The window that keeps everything of an image resized to (height, width)."""
    return Window((height, width), 0, 0, height, width)


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


def resize_image(image: Image.Image, window: Window) -> np.ndarray:
    """Pillow's antialiased bilinear resizing; only the window is computed.

    Returns: (3, height, width) uint8 of the window.
    """
    height, width = window.size
    scale_y, scale_x = image.height / height, image.width / width
    box = (window.left * scale_x, window.top * scale_y,
           min((window.left + window.width) * scale_x, image.width),
           min((window.top + window.height) * scale_y, image.height))  # fmt: skip
    small = image.resize((window.width, window.height), Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def resize_labels(labels: np.ndarray, window: Window) -> np.ndarray:
    """Pillow's nearest neighbour; labels (H, W) uint8 -> (height, width) of the window."""
    small = np.asarray(Image.fromarray(labels).resize(window.size[::-1], Image.Resampling.NEAREST))
    return small[window.top : window.top + window.height, window.left : window.left + window.width]
