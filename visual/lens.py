"""Intrinsics of the camera of an image, and where they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ExifTags, Image

from errors import UserError
from storage.cameras import find_camera, has_camera

FILM_DIAGONAL = math.hypot(36, 24)  # millimetres
REMEDY = "give --intrinsics fx,fy,cx,cy in pixels or --fov DEGREES, or write an intrinsics.txt beside them"


@dataclass(frozen=True)
class Lens:
    """Focal lengths and principal point in pixels, pixel centres at whole numbers; `source` for outputs."""

    fx: float
    fy: float
    cx: float
    cy: float
    source: str

    def moved(self, corner: tuple[int, int]) -> Lens:
        """The same for the part of an image that begins at (row, column) `corner`."""
        return replace(self, cx=self.cx - corner[1], cy=self.cy - corner[0])

    def resized(self, before: tuple[int, int], after: tuple[int, int]) -> Lens:
        """The same for an image of (height, width) `before` at another size."""
        down, across = after[0] / before[0], after[1] / before[1]
        return replace(
            self,
            fx=self.fx * across,
            fy=self.fy * down,
            cx=(self.cx + 0.5) * across - 0.5,
            cy=(self.cy + 0.5) * down - 0.5,
        )


def find_lens(
    path: Path | None, size: tuple[int, int], intrinsics: tuple[float, ...], fov: float, roots: tuple[Path, ...] = ()
) -> Lens | None:
    """Lens of an upright image of (height, width) `size`; None where nobody tells.

    intrinsics: fx, fy, cx, cy that were given, or (); fov: horizontal degrees that were given, or 0
    path: of the image, beside which a camera may be written, and whose EXIF data may tell the focal length
    roots: folders up to which a camera may be written above the image

    Raises:
        UserError: when a camera is written beside it that cannot be used.
    """
    height, width = size
    if intrinsics:
        return Lens(*intrinsics, source="--intrinsics")
    if fov:
        focal = width / (2 * math.tan(math.radians(fov) / 2))
        return Lens(focal, focal, (width - 1) / 2, (height - 1) / 2, f"--fov {fov:g}")
    if path and (camera := find_camera(_homes(path, roots), size)):
        return Lens(*camera.in_pixels(size), source=f"{camera.place} ({camera.unit})")
    millimetres = _film_focal_length(path) if path else 0.0
    if not millimetres:
        return None
    focal = millimetres / FILM_DIAGONAL * math.hypot(height, width)
    source = f"EXIF: focal length {millimetres:g} mm on 35 mm film"
    return Lens(focal, focal, (width - 1) / 2, (height - 1) / 2, source)


def camera_fault(intrinsics: tuple[float, ...], fov: float) -> str:
    """What is wrong with what was said of the camera; "" where nothing is."""
    if intrinsics and (fov or len(intrinsics) != 4):
        return "--intrinsics: give the four numbers fx,fy,cx,cy in pixels, and no --fov beside them"
    return ""


def has_lens(path: Path | None, intrinsics: tuple[float, ...], fov: float, roots: tuple[Path, ...] = ()) -> bool:
    """Whether anybody tells the lens of an image; arguments as in `find_lens`."""
    return bool(intrinsics or fov or (path and (any(map(has_camera, _homes(path, roots))) or _film_focal_length(path))))


def _homes(path: Path, roots: tuple[Path, ...]) -> list[Path]:
    """Folders where the camera of an image may be written, the nearest first, as own data have it in training."""
    above = [folder for folder in path.parents if any(root in (folder, *folder.parents) for root in roots)]
    return list(dict.fromkeys((path.parent, *above)))


def need_lens(path: Path | None, name: str, *found: object) -> Lens:
    """A lens of `find_lens`; raises `UserError` naming the image where there is none."""
    lens = find_lens(path, *found)
    if lens is None:
        raise UserError(f"{path or name}: says no focal length; {REMEDY}")
    return lens


def _film_focal_length(path: Path) -> float:
    """Focal length in millimetres as if on 35 mm film, from EXIF data; 0 where they do not tell."""
    try:
        with Image.open(path) as image:
            told = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.FocalLengthIn35mmFilm, 0)
        millimetres = float(told)
    except Exception:  # damaged EXIF data raise whatever the parser met, and say nothing about the lens
        return 0.0
    return millimetres if 1 <= millimetres <= 10000 else 0.0
