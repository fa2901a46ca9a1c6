"""The window that the KITTI depth benchmark, and networks trained for it, cut out of an image. Imports nothing."""

from __future__ import annotations


def bottom_window(size: tuple[int, int], crop: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a crop (height, width) at the bottom of an image of (height, width), centred.

    A side that is too short stays whole.
    """
    (height, width), (rows, columns) = size, crop
    left = max((width - columns) // 2, 0)
    return slice(max(height - rows, 0), height), slice(left, min(left + columns, width))
