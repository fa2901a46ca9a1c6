"""The pictures that inference writes: uint8 RGB (H, W, 3); colour bars and files of all pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .colour import class_table


@dataclass(frozen=True)
class Look:
    """How a picture of inference looks.

    layout:   image, classes and disparity below each other ("stack") or beside each other ("side"), or disparity "only"
    colormap: of OpenCV, or "gray"
    range:    nearest and farthest distance that colours tell apart, in the unit of the depth; () for that of the image
    bar:      a strip of colours with distances below the picture, in `unit`; "" where there is none
    """

    layout: str = "stack"
    colormap: str = "plasma"
    range: tuple[float, ...] = ()
    bar: bool = False
    unit: str = ""


PUBLISHED = Look()
LEAST_TITLED = 32
"""Width in pixels of a strip of colours that words go to."""


def inference_picture(
    image: np.ndarray, inv_depth: np.ndarray, ids: np.ndarray | None, maximum: float = 0.0, look: Look = PUBLISHED
) -> np.ndarray:
    """Image, class colours where there are any, disparity in colours (bright = near in most of them).

    maximum: what gets the last colour where `look` has no range, 1/m; 0 takes the largest value of this image

    Shapes:  image (H, W, 3) uint8; inv_depth (h, w) float32, >= 0; ids (h, w) uint8
    Returns: uint8; with the published look (3*H, W, 3), or (2*H, W, 3) without `ids`
    """
    size = (image.shape[1], image.shape[0])  # OpenCV counts width first
    parts = [] if look.layout == "only" else [image]
    if ids is not None and look.layout != "only":
        parts.append(cv2.resize(class_table().numpy()[ids], size, interpolation=cv2.INTER_NEAREST))
    if look.range:
        lowest, highest = 1 / look.range[1], 1 / look.range[0]
        levels = ((inv_depth - lowest) * (255 / (highest - lowest))).clip(0, 255).astype(np.uint8)
    else:
        lowest, highest = 0.0, max(maximum or float(inv_depth.max()), np.finfo(np.float32).tiny)
        levels = (inv_depth * 255 / np.float32(highest)).clip(0, 255).astype(np.uint8)
    parts.append(cv2.resize(_coloured(levels, look.colormap), size, interpolation=cv2.INTER_LINEAR))
    picture = np.concatenate(parts, axis=1 if look.layout == "side" else 0)
    if look.bar:
        picture = np.concatenate([picture, colour_bar(picture.shape[1], (lowest, highest), look)])
    return picture


def _coloured(levels: np.ndarray, colormap: str) -> np.ndarray:
    """Levels (h, w) uint8 in a colour map of OpenCV, (h, w, 3) RGB."""
    if colormap == "gray":
        return np.repeat(levels[..., None], 3, axis=2)
    table = getattr(cv2, f"COLORMAP_{colormap.upper()}")
    return cv2.cvtColor(cv2.applyColorMap(levels, table), cv2.COLOR_BGR2RGB)


def colour_bar(width: int, ends: tuple[float, float], look: Look) -> np.ndarray:
    """A strip that explains the colours: the unit, and distances below the colours.

    ends: inverse depth of the first and of the last colour, 1/m

    Returns: (h, width, 3) uint8
    """
    title = look.unit or "up to scale and shift"
    return scale_bar(width, title, look.colormap, lambda share: _mark(ends, share, look.unit))


def scale_bar(width: int, title: str, colormap: str, mark: Callable[[float], str]) -> np.ndarray:
    """A strip of colours with a title before it and marks below it.

    mark: what is said at a share of the strip, 0 to 1

    Returns: (h, width, 3) uint8; colours alone where letters would be too small for any font
    """
    if width < LEAST_TITLED:
        return np.repeat(_coloured(np.linspace(0, 255, width).astype(np.uint8)[None], colormap), 4, axis=0)
    font, size = ImageFont.load_default(10.0), max(min(width // 40, 32), 8) * 1.0
    size = min(size, 10.0 * 0.35 * width / font.getlength(title))  # however narrow the picture
    font, row = ImageFont.load_default(size), round(1.3 * size)
    strip = Image.new("RGB", (width, 2 * row + 4), "white")
    draw, left = ImageDraw.Draw(strip), round(font.getlength(title) + size)
    draw.text((size / 2, row / 2 + 1), title, "black", font, "lm")
    levels = np.broadcast_to(np.linspace(0, 255, width - left).astype(np.uint8), (row, width - left))
    strip.paste(Image.fromarray(_coloured(levels, colormap)), (left, 0))
    count = max(min(int((width - left) / font.getlength("0.0888 88")), 6), 2)
    for number in range(count):
        share = number / (count - 1)
        anchor = "lm" if number == 0 else "rm" if number == count - 1 else "mm"
        draw.text((left + share * (width - left - 1), 1.5 * row + 2), mark(share), "black", font, anchor)
    return np.asarray(strip)


def _mark(ends: tuple[float, float], share: float, unit: str) -> str:
    """Distance at a share of the strip; where there is no unit, or the distance is infinite, a word at its ends."""
    inverse = ends[0] + share * (ends[1] - ends[0])
    if unit and inverse > 0:
        return f"{1 / inverse:.3g}"
    return {0.0: "far", 1.0: "near"}.get(share, "")


def encode(picture: np.ndarray, extension: str) -> bytes:
    """Bytes of an image file; `extension` as ".png" and known to OpenCV.

    Raises: ValueError when OpenCV cannot write this picture in this format.
    """
    try:
        done, data = cv2.imencode(extension, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise ValueError(
            f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels does not go into {extension}: {error.err}"
        ) from None
    if not done:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels does not go into {extension}")
    return data.tobytes()


def encode_counts(counts: np.ndarray) -> bytes:
    """A grey PNG of (H, W) uint16, as KITTI keeps depth."""
    return cv2.imencode(".png", counts)[1].tobytes()


def to_bytes(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] on any device -> (H, W, 3) uint8."""
    return (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
