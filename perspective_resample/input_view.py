"""What a network looks at of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bottom import bottom_window


@dataclass(frozen=True)
class InputView:
    """How an image comes before a network in evaluation.

    Args:
        resized: brought to the size that options name; else as it is.
        crop: (height, width) of a window at the bottom, centred, of an image as it is; () for the whole image.
    """

    resized: bool = True
    crop: tuple[int, ...] = ()

    def window(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the crop in an image of (height, width); a side that is too short stays whole."""
        return bottom_window(size, self.crop or size)

    def inside(self, size: tuple[int, int], image: tuple[int, int]) -> np.ndarray:
        """Marks pixels of a map of (height, width) `size` that lie in the crop of an image of another size."""
        rows, columns = self.window(image)
        inside = np.zeros(image, bool)
        inside[rows, columns] = True
        if size == image:
            return inside
        return inside[np.arange(size[0])[:, None] * image[0] // size[0], np.arange(size[1]) * image[1] // size[1]]
