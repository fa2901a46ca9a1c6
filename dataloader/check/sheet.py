"""The contact sheet: a few samples of every loader with their neighbours or their ground truth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from dataloader.check.look import TILE_WIDTH, Tile
from errors import UserError
from storage.atomic import write_whole
from visual.colour import class_image, depth_image

GAP = 8
TITLE_HEIGHT = 26
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
POINT = 2  # pixels; side of the square that one laser point covers
DEPTH_WEIGHT, LABEL_WEIGHT = 0.7, 0.55  # of the colours over the image, so that its edges can be compared


def check_name(path: Path) -> None:
    """Refuse file types that cannot be written.

    Raises:
        UserError: for any other ending than those of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"--contact-sheet {path}: cannot write {path.suffix or 'files without ending'}; "
            f"use one of {', '.join(FORMATS)}"
        )


def write_sheet(path: Path, sections: Sequence[tuple[str, Sequence[Tile]]]) -> None:
    """Draw every section (title, tiles) below the one before, and write the picture.

    Raises:
        UserError: the file cannot be written.
    """
    rows = [(title, [_row(tile) for tile in tiles]) for title, tiles in sections if tiles]
    width = max((row.shape[1] for _, pictures in rows for row in pictures), default=TILE_WIDTH)
    canvas = [
        _title(title, width, bold=True) if picture is None else picture
        for title, pictures in rows
        for picture in (None, *pictures)
    ]
    sheet = np.concatenate([_widen(part, width) for part in canvas]) if canvas else _title("no image", width)
    content = io.BytesIO()
    Image.fromarray(sheet).save(content, FORMATS[path.suffix.lower()])
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        raise UserError(f"--contact-sheet {path}: cannot write ({error.strerror}); choose another place") from error


def _row(tile: Tile) -> np.ndarray:
    """Name above the image, and beside it the truth over the image or the neighbours in their order."""
    image = tile.images[0]
    if tile.depth is not None:
        pictures = [image, over_depth(image, tile.depth)]
    elif tile.labels is not None:
        pictures = [image, over_labels(image, tile.labels)]
    else:
        pictures = [tile.images[offset] for offset in sorted(tile.images)]
    height = image.shape[0]
    gap = np.full((height, GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, _fit(picture, height))][1:]
    row = np.concatenate(parts, axis=1)
    return np.concatenate([_title(tile.name, row.shape[1]), row])


def _fit(picture: np.ndarray, height: int) -> np.ndarray:
    if picture.shape[0] == height:
        return picture
    return cv2.resize(picture, (TILE_WIDTH, height), interpolation=cv2.INTER_AREA)


def over_depth(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Measured pixels in plasma (near = bright) over an image that is darkened elsewhere.

    Shapes:  image (h, w, 3) uint8, small; depth (H, W) metres, 0 = no measurement
    Returns: (h, w, 3) uint8
    """
    small = shrink_depth(depth, image.shape[:2])
    measured = small > 0
    colours = _to_bytes(depth_image(torch.from_numpy(small)[None, None], torch.from_numpy(measured)[None, None]))
    return np.where(measured[..., None], _blend(colours, image, DEPTH_WEIGHT), image // 2)


def shrink_depth(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sparse depth at a smaller size: the nearest point of every cell, grown to a few pixels so that it is seen.

    Shapes:  depth (H, W) metres, 0 = no measurement
    Returns: `size` float32, likewise
    """
    rows, columns = depth.nonzero()
    cells = rows * size[0] // depth.shape[0] * size[1] + columns * size[1] // depth.shape[1]
    inverse = np.zeros(size[0] * size[1], np.float32)
    np.maximum.at(inverse, cells, 1 / depth[rows, columns])
    grown = cv2.dilate(inverse.reshape(size), np.ones((POINT, POINT), np.uint8))
    return np.divide(1, grown, out=np.zeros_like(grown), where=grown > 0)


def over_labels(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Class colours blended over an image; ignored pixels are darkened.

    Shapes:  image (h, w, 3) uint8, small; labels (H, W) train ids
    Returns: (h, w, 3) uint8
    """
    height, width = image.shape[:2]
    small = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    colours = _to_bytes(class_image(torch.from_numpy(small)[None]))
    return _blend(colours, image, LABEL_WEIGHT)


def _blend(colours: np.ndarray, image: np.ndarray, weight: float) -> np.ndarray:
    return (weight * colours + (1 - weight) * image).astype(np.uint8)


def _to_bytes(picture: torch.Tensor) -> np.ndarray:
    return (picture[0].permute(1, 2, 0) * 255).round().byte().numpy()


def _title(text: str, width: int, bold: bool = False) -> np.ndarray:
    picture = Image.new("RGB", (width, TITLE_HEIGHT), (30, 60, 120) if bold else (255, 255, 255))
    colour = (255, 255, 255) if bold else (0, 0, 0)
    ImageDraw.Draw(picture).text((4, 6), text, fill=colour, font=ImageFont.load_default())
    return np.asarray(picture)


def _widen(picture: np.ndarray, width: int) -> np.ndarray:
    missing = width - picture.shape[1]
    return np.pad(picture, ((0, 0), (0, missing), (0, 0)), constant_values=255) if missing else picture
