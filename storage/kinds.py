"""How names of images and videos end, for all rooms that look for some. Imports nothing that decodes them."""

from __future__ import annotations

import importlib.util

IMAGES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jp2",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".tga",
)
HEIF = (".heic", ".heif")  # with the package pillow-heif
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")

DEPTH_FOLDER = "depth"
"""Beside own images: truth, which is no image itself."""


def image_suffixes() -> tuple[str, ...]:
    """How names of images end that can be read here."""
    return IMAGES + HEIF if importlib.util.find_spec("pillow_heif") else IMAGES
