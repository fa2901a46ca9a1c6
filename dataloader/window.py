"""A window of an image that all measurements of a data set are about. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from perspective_resample.bottom import bottom_window

from .camera import Intrinsics, Size


class Window(ABC):
    """A part of every image of a loader."""

    __slots__ = ()

    @abstractmethod
    def slices(self, size: Size) -> tuple[slice, slice]:
        """Rows and columns in an array that begins with (height, width) `size`."""

    def on(self, size: Size) -> PixelWindow:
        """The window as one of images of (height, width), which images of another size are cut like."""
        rows, columns = self.slices(size)
        return PixelWindow((rows.start, rows.stop), (columns.start, columns.stop), (size[0], size[1]))

    def box(self, size: Size) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in an image of (height, width), as Pillow crops."""
        rows, columns = self.slices(size)
        return columns.start, rows.start, columns.stop, rows.stop

    def intrinsics(self, whole: Intrinsics, size: Size) -> Intrinsics:
        """fx, fy, cx, cy divided by width and height of an image of (height, width) -> the same of the window."""
        (height, width), (rows, columns) = size, self.slices(size)
        down, across = rows.stop - rows.start, columns.stop - columns.start
        fx, fy, cx, cy = whole
        return (
            fx * width / across,
            fy * height / down,
            (cx * width - columns.start) / across,
            (cy * height - rows.start) / down,
        )


@dataclass(frozen=True, slots=True)
class PixelWindow(Window):
    """Rows and columns, from and up to but without, of images of the (height, width) `of`.

    In images and truth of another size it is every pixel that has a part in it.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    of: Size

    def on(self, size: Size) -> PixelWindow:
        """Itself: it is one of images of its own size."""
        return self

    def slices(self, size: Size) -> tuple[slice, slice]:
        """As `Window`."""
        rows, columns = (
            slice(first * side // whole, -(-last * side // whole))
            for (first, last), side, whole in zip((self.rows, self.columns), size[:2], self.of, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, slots=True)
class BottomWindow(Window):
    """So many rows at the bottom and columns in the middle, pixels; a side that is too short stays whole."""

    height: int
    width: int

    def slices(self, size: Size) -> tuple[slice, slice]:
        """As `Window`."""
        return bottom_window(size[:2], (self.height, self.width))
