"""The pictures that evaluation writes: uint8 RGB (H, W, 3), rows stacked from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .colour import class_image, class_table, depth_image, dimmed, dot_size, error_image, near_end, truth_image
from .pictures import Look, colour_bar, scale_bar, to_bytes

LARGEST_ERROR = 0.25
"""Relative error that gets the last colour; a prediction that is off by more counts against a1."""
WRONG = (1.0, 0.0, 0.0)


def depth_comparison(image: np.ndarray, depth: Tensor, truth: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Image, predicted depth, truth as dots, a bar of their colours; relative errors of what counts, and their bar.

    Prediction and truth have one range: what is nearest, but for 5 % of the truth that counts, is brightest.

    counted: pixels (N,) of the flattened truth that were compared; without any the prediction has no scale, each has a
             range of its own, and no error is shown

    Shapes:  image (h, w, 3) uint8, shown at the size of the truth; depth (H, W) metres, aligned with the truth where
             some of it counts; truth (H, W) metres, 0 = no measurement
    Returns: (4*H + h', W, 3) uint8
    """
    fitted = _fit(image, truth)
    judged = np.zeros(truth.size, np.float32)
    judged[counted] = truth.reshape(-1)[counted]
    maps = (torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in (truth, judged.reshape(truth.shape)))
    found, measured, compared = (each[None, None] for each in (depth.float().cpu(), *maps))
    common = near_end(compared, compared > 0) if compared.any() else None
    own = near_end(found, found > 0) if common is None else common
    width, unit = truth.shape[1], "up to scale" if common is None else "m"
    # Maps may have millions of pixels: of each row only the bytes are kept.
    rows = [fitted, to_bytes(depth_image(found, near=own)), to_bytes(truth_image(measured, common))]
    rows.append(colour_bar(width, (0.0, own.item()), Look(unit=unit)))
    rows.append(to_bytes(error_image(_as_tensor(fitted), found, compared, LARGEST_ERROR, dot_size(measured))))
    return np.concatenate([*rows, error_bar(width)])


def error_bar(width: int) -> np.ndarray:
    """Explains the colours of relative errors.  Returns: (h, width, 3) uint8."""
    percent = 100 * LARGEST_ERROR
    return scale_bar(width, "error, %", "turbo", lambda share: f"{percent * share:.3g}" + "+" * (share == 1))


def segmentation_comparison(image: np.ndarray, ids: Tensor, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Image, predicted classes, truth; what is wrong, red over the dark image, black where there is no truth.

    names: of the classes, which are listed below as far as they occur, with the share of labelled pixels that is wrong

    Shapes:  image (h, w, 3) uint8, shown at the size of the labels; ids, labels (H, W) train ids
    Returns: (4*H + h', W, 3) uint8
    """
    fitted, found, truth = _fit(image, labels), ids.cpu()[None], torch.from_numpy(labels)[None]
    known, wrong = truth < len(names), found != truth
    red = torch.tensor(WRONG).view(1, 3, 1, 1)
    errors = torch.where(wrong[:, None], red, dimmed(_as_tensor(fitted))) * known[:, None]
    rows = [fitted, *map(to_bytes, (class_image(found), class_image(truth), errors))]
    share = (wrong & known).sum().item() / max(known.sum().item(), 1)
    return np.concatenate([*rows, _legend(labels.shape[1], torch.cat([found, truth]), names, share)])


def titled(picture: np.ndarray, name: str) -> np.ndarray:
    """A picture (h, w, 3) uint8 above a strip with the name of its frame; of long names the end: (h + h', w, 3)."""
    width = picture.shape[1]
    font = ImageFont.load_default(_font_size(width))
    while font.getlength(name) > width and len(name) > 1:
        name = name[1:]
    strip = Image.new("RGB", (width, round(1.5 * _font_size(width))), "white")
    ImageDraw.Draw(strip).text((width / 2, strip.height / 2), name, "black", font, "mm")
    return np.concatenate([picture, np.asarray(strip)])


def _font_size(width: int) -> int:
    return max(min(width // 60, 24), 8)


def _legend(width: int, ids: Tensor, names: Sequence[str], wrong: float) -> np.ndarray:
    """Colours and names of the classes that occur, and which share of the labelled pixels is wrong: (h, width, 3)."""
    present = [number for number in ids.unique().tolist() if number < len(names)]
    entries = [(tuple(class_table()[number].tolist()), names[number]) for number in present]
    entries.append((tuple(round(255 * part) for part in WRONG), f"wrong: {100 * wrong:.1f} %"))
    size = _font_size(width)
    font = ImageFont.load_default(size)
    row, places, x, y = round(1.5 * size), [], 0, 0
    for colour, name in entries:
        length = round(font.getlength(name)) + 3 * size
        if x and x + length > width:
            x, y = 0, y + row
        places.append((x, y, colour, name))
        x += length
    strip = Image.new("RGB", (width, y + row), "white")
    draw = ImageDraw.Draw(strip)
    for x, y, colour, name in places:
        draw.rectangle((x + size // 2, y + size // 4, x + 3 * size // 2, y + 5 * size // 4), fill=colour)
        draw.text((x + 2 * size, y + row / 2), name, "black", font, "lm")
    return np.asarray(strip)


def _as_tensor(image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


def _fit(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) at the size of its ground truth (H, W)."""
    if image.shape[:2] == truth.shape:
        return image
    return cv2.resize(image, truth.shape[::-1], interpolation=cv2.INTER_LINEAR)  # OpenCV counts width first
