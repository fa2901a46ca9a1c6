"""Pictures at training size: where training takes them from, and how they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .files import open_rgb, read_labels
from .transforms import Filter, Window, resize_image, resize_labels, resize_window


class Pictures(Protocol):
    """Images and labels of one loader, all of one size (height, width)."""

    def image(self, path: str) -> np.ndarray:
        """RGB of an image file, (3, height, width) uint8; raises `UserError` when it cannot be had."""

    def image_and_window(self, path: str, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """`image`, and a window of the image file resized otherwise, (3, height, width) uint8."""

    def labels(self, path: str, mode: str) -> np.ndarray:
        """Training ids of a label file, (height, width) uint8; raises `UserError` when they cannot be had."""


@dataclass(frozen=True)
class DecodedPictures:
    """Pictures decoded and resized to `size` (height, width) whenever they are asked for, images with `filter`."""

    size: tuple[int, int]
    filter: Filter = "bilinear"

    def image(self, path: str) -> np.ndarray:
        """As `Pictures.image`, a view with the channels last in memory."""
        return resize_image(open_rgb(path), self.size, self.filter)

    def image_and_window(self, path: str, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """As `Pictures.image_and_window`; the file is decoded once."""
        image = open_rgb(path)
        return resize_image(image, self.size, self.filter), resize_window(image, window, self.filter)

    def labels(self, path: str, mode: str) -> np.ndarray:
        """As `Pictures.labels`."""
        return resize_labels(read_labels(path, mode), self.size)
