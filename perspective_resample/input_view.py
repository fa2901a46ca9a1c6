"""What a network looks at of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .bottom import bottom_window


@dataclass(frozen=True)
class InputView:
    """How an image comes before a network in evaluation.

    Args:
        resized: brought to the size that options name; else as it is.
        crop: (height, width) of a window at the bottom, centred, of an image as it is; () for the whole image.
        box: top, bottom, left, right of a window of images of the size `of`; in others of as large a part; () for none.
        of: (height, width).
        multiple: sides of what is left are brought to the nearest multiple of this, where the image is not `resized`.
    """

    resized: bool = True
    crop: tuple[int, ...] = ()
    box: tuple[int, ...] = ()
    of: tuple[int, int] = (480, 640)
    multiple: int = 1

    @property
    def partial(self) -> bool:
        """Whether the network does not see all of an image."""
        return bool(self.crop or self.box)

    def window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the part in an image of (height, width); a side that is too short stays whole."""
        if self.box:
            (height, width), (top, bottom, left, right) = size, self.box
            rows, columns = self.of
            return (
                slice(top * height // rows, -(-bottom * height // rows)),
                slice(left * width // columns, -(-right * width // columns)),
            )
        return bottom_window(size, self.crop or size)

    def inside(self, size: tuple[int, int], image: tuple[int, int]) -> np.ndarray:
        """Marks pixels of a map of (height, width) `size` that lie in the part of an image of another size."""
        rows, columns = self.window(image)
        inside = np.zeros(image, bool)
        inside[rows, columns] = True
        if size == image:
            return inside
        return inside[np.arange(size[0])[:, None] * image[0] // size[0], np.arange(size[1]) * image[1] // size[1]]

    def input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) at which the network sees a part of (height, width)."""
        height, width = (max(round(side / self.multiple), 1) * self.multiple for side in size)
        return height, width


NYU_OF_SPATIAL_KD = InputView(resized=False, box=(24, 472, 40, 616), multiple=32)
NYU_OF_LAPDEPTH = InputView(resized=False, box=(42, 474, 40, 616), multiple=16)
"""What the two see of the labelled images of NYU Depth v2; around it their predictions do not count."""


def view_of(network: Any, dataset: str) -> InputView:
    """How a network sees the images of a data set: what its `views` say of it, else its `view`.

    Without either it sees whole images, resized as options say, or, where its `input_fit` is "multiple", at their own
    size but for the nearest multiple of its `size_divisor`.
    """
    usual = InputView()
    if getattr(network, "input_fit", "squash") == "multiple":
        usual = InputView(resized=False, multiple=network.size_divisor)
    return getattr(network, "views", {}).get(dataset) or getattr(network, "view", usual)
