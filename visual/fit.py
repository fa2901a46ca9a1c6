"""How an image comes before a network of another shape, and which part of the network's map then shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

LEAST = 64  # rows and columns that a network needs
ODD = 1.6  # how many times another shape an image may have before advice is due


@dataclass(frozen=True)
class View:
    """An image on its way through a network.

    image:  (H, W, 3) uint8 RGB, what outputs show
    pixels: (h, w, 3) uint8 RGB, what the network sees
    inside: rows and columns of the network's map that show the image
    corner: row and column of the whole image at which `image` begins
    """

    image: np.ndarray
    pixels: np.ndarray
    inside: tuple[slice, slice] = (slice(None), slice(None))
    corner: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Fit:
    """What is done to images of any shape.

    kind:    squash: the whole image at `size`; pad: the whole image in its shape, its edges repeated around it; crop:
             the largest part in the middle that has the shape of `size`; multiple: in its own shape, of as many pixels
             as `size` has; height: in its own shape, as high as `size`; own: as it is
    size:    (height, width) of the network's input; () with multiple: the image's own size
    divisor: of which sides must be multiples
    filter:  of resizing, "bilinear" or "lanczos"
    """

    kind: str
    size: tuple[int, ...]
    divisor: int = 32
    filter: str = "bilinear"

    def __call__(self, image: np.ndarray) -> View:
        """View of an image (H, W, 3) uint8."""
        height, width = image.shape[:2]
        if self.kind == "own":
            return View(image, image)
        if self.kind == "multiple":
            return View(image, network_input(image, self._multiple(height, width), self.filter))
        if self.kind == "height":
            columns = round(width * self.size[0] / height / self.divisor) * self.divisor
            size = (self.size[0], max(columns, self.divisor))
            return View(image, network_input(image, size, self.filter))
        if self.kind == "crop":
            return self._cropped(image)
        if self.kind == "pad":
            return self._padded(image)
        return View(image, network_input(image, (self.size[0], self.size[1]), self.filter))

    def _multiple(self, height: int, width: int) -> tuple[int, int]:
        scale = math.sqrt(math.prod(self.size) / (height * width)) if self.size else 1.0
        least = math.ceil(LEAST / self.divisor) * self.divisor
        rows, columns = (round(side * scale / self.divisor) * self.divisor for side in (height, width))
        return max(rows, least), max(columns, least)

    def _cropped(self, image: np.ndarray) -> View:
        height, width = image.shape[:2]
        rows, columns = self._within(height, width, self.size[0] / self.size[1])
        top, left = (height - rows) // 2, (width - columns) // 2
        part = np.ascontiguousarray(image[top : top + rows, left : left + columns])
        return View(part, network_input(part, (self.size[0], self.size[1]), self.filter), corner=(top, left))

    def _padded(self, image: np.ndarray) -> View:
        rows, columns = self._within(*self.size, image.shape[0] / image.shape[1])
        top, left = (self.size[0] - rows) // 2, (self.size[1] - columns) // 2
        margins = ((top, self.size[0] - rows - top), (left, self.size[1] - columns - left), (0, 0))
        pixels = np.pad(network_input(image, (rows, columns), self.filter), margins, mode="edge")
        return View(image, pixels, (slice(top, top + rows), slice(left, left + columns)))

    @staticmethod
    def _within(height: int, width: int, shape: float) -> tuple[int, int]:
        """Largest (rows, columns) with rows / columns = shape that a (height, width) raster holds."""
        return max(min(height, round(width * shape)), 1), max(min(width, round(height / shape)), 1)

    def advice(self, height: int, width: int) -> str:
        """What to tell about images of this size whose shape is far from that of the network; "" where it is not."""
        if self.kind != "squash":
            return ""
        stretched = (width / height) / (self.size[1] / self.size[0])
        if 1 / ODD <= stretched <= ODD:
            return ""
        return (
            f"images of {width}x{height} pixels are squashed to {self.size[1]}x{self.size[0]}, another shape than the "
            "network learned from; --fit crop shows it the middle, --fit multiple and --fit pad the whole in its shape"
        )


def network_input(image: np.ndarray, size: tuple[int, int], kind: str = "bilinear") -> np.ndarray:
    """Image (H, W, 3) uint8 at (height, width) `size`, as Pillow resizes it (with antialiasing).

    kind: of the filter, ``bilinear`` or ``lanczos``
    """
    height, width = size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling[kind.upper()])
    return np.array(resized)  # torch wants its own
