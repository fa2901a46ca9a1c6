"""Which size of a network fits images of one's own."""

from __future__ import annotations

import itertools
import math

from .camera import Size

USUAL = (192, 640)  # height and width that the published networks have
PIXELS = (0.75, 1.25)  # times as many as `USUAL` has, which memory and time allow
LEAST, MOST = 64, 2048  # of a side
ODD = 1.6  # how many times another shape images may have before it is told


def fitting_size(size: Size, multiple: int) -> Size:
    """(height, width) of a network, multiples of `multiple`, that has the shape of (height, width) images.

    Of all with about as many pixels as `USUAL` the one that stretches images least, then the one nearest to `USUAL` in
    pixels; of images of an extreme shape the largest side is cut off at `MOST`.
    """
    usual = math.prod(USUAL)
    sides = range(math.ceil(LEAST / multiple) * multiple, MOST + 1, multiple)
    found = [pair for pair in itertools.product(sides, sides) if PIXELS[0] <= math.prod(pair) / usual <= PIXELS[1]]
    return min(
        found, key=lambda pair: (round(_log_stretch(pair, size), 6), abs(math.log(math.prod(pair) / usual)), pair)
    )


def shape_doubt(size: Size, network: Size, multiple: int) -> str:
    """A sentence where (height, width) images are squashed into a network of quite another shape; or ""."""
    if _log_stretch(network, size) <= math.log(ODD):
        return ""
    height, width = fitting_size(size, multiple)
    return (
        f"images of {size[0]} x {size[1]} are squashed to {network[0]} x {network[1]} (height x width), another shape; "
        f"{height} x {width} has theirs"
    )


def _log_stretch(first: Size, second: Size) -> float:
    """How far two shapes are from each other; 0 where they are the same."""
    return abs(math.log(first[1] / first[0] / (second[1] / second[0])))
