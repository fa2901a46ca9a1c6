"""Decoded images of any colour mode -> 8-bit RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from errors import UserError

WIDE = ("PNG", "PPM")  # formats whose grey values of more than 8 bits Pillow hands out as 16 bits, in a mode of 32


def to_rgb(image: Image.Image, where: str | Path) -> Image.Image:
    """A decoded image as 8-bit RGB; 16-bit values are divided by 256, transparency is dropped.

    Floating-point numbers are taken as brightness in [0, 1], or in [0, 255] where some are above 1.

    where: begins the sentence of an error

    Raises:
        UserError: when its colours are of a kind that Pillow cannot convert, or its numbers do not say what is white.
    """
    if image.mode == "RGB":
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_levels(np.asarray(image), image.format in WIDE, where)).convert("RGB")
    try:
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        return image.convert("RGB")
    except ValueError as fault:
        raise UserError(f"{where}: no conversion from {image.mode} to RGB ({fault}); save it as RGB") from fault


def _levels(values: np.ndarray, wide: bool, where: str | Path) -> np.ndarray:
    """Brightness (H, W) of float32 or integers of 16 or 32 bits -> uint8.

    wide: the numbers are known to be of 16 bits
    """
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if low >= 0 and high <= 255:
            return (values * 255).round().astype(np.uint8) if high <= 1 else values.astype(np.uint8)
    elif wide or values.dtype.itemsize == 2 or low == high == 0 or (low >= 0 and 255 < high < 1 << 16):
        return (values >> 8).astype(np.uint8)
    raise UserError(
        f"{where}: {values.dtype} values from {low:g} to {high:g} do not say which one is white; save it as 8-bit RGB"
    )
