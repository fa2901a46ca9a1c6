"""Whether the intrinsics a loader uses can belong to its images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from dataloader.calibration import calibration_entry
from dataloader.check.look import Look
from dataloader.check.report import Report
from errors import UserError

FIELD_OF_VIEW = (20.0, 150.0)  # degrees; outside, the focal length is rather that of another image size
PIXEL_ASPECT = 0.10  # how far fx / fy in pixels may be from 1
CENTRE = 0.15  # how far the principal point may be from the image centre, in image widths or heights
CALIBRATION_FILE = "calib_cam_to_cam.txt"

Intrinsics = tuple[float, float, float, float]
Size = tuple[int, int]


def field_of_view(focal: float) -> float:
    """Degrees that an image spans whose focal length is `focal` times its width (or height)."""
    return math.degrees(2 * math.atan(0.5 / focal))


def check_camera(report: Report, looks: Iterable[Look], own: bool) -> None:
    """Tell the intrinsics, warn where they cannot be right; `own` numbers were given by the user in pixels."""
    seen: dict[tuple[Intrinsics, Size], None] = {}
    for look in looks:
        if 0 in look.sizes:
            seen[look.sample.intrinsics, look.sizes[0]] = None
    told = set()
    for intrinsics, size in seen:
        if intrinsics not in told:
            told.add(intrinsics)
            report.tell("intrinsics", _in_words(intrinsics, size))
        for doubt in doubts(intrinsics, size):
            remedy = "; check --data-intrinsics fx,fy,cx,cy, in pixels of the files" if own else ""
            report.warn(f"intrinsics at {size[0]} x {size[1]}: {doubt}{remedy}")


def _in_words(intrinsics: Intrinsics, size: Size) -> str:
    height, width = size
    fx, fy, cx, cy = intrinsics
    return (
        f"fx {fx * width:.1f} fy {fy * height:.1f} cx {cx * width:.1f} cy {cy * height:.1f} pixels at "
        f"{height} x {width}: {field_of_view(fx):.0f} degrees wide, {field_of_view(fy):.0f} high, "
        f"pixel aspect {fx * width / (fy * height):.3f}"
    )


def doubts(intrinsics: Intrinsics, size: Size) -> list[str]:
    """What speaks against normalised intrinsics of (height, width) images."""
    height, width = size
    fx, fy, cx, cy = intrinsics
    found = []
    for name, focal in (("horizontal", fx), ("vertical", fy)):
        angle = field_of_view(focal)
        if not FIELD_OF_VIEW[0] <= angle <= FIELD_OF_VIEW[1]:
            found.append(f"a {name} field of view of {angle:.0f} degrees is implausible")
    aspect = fx * width / (fy * height)
    if abs(aspect - 1) > PIXEL_ASPECT:
        found.append(
            f"fx/fy is {aspect:.2f} in pixels, about 1 for almost every camera (another aspect ratio of the "
            "images, or numbers swapped?)"
        )
    if abs(cx - 0.5) > CENTRE or abs(cy - 0.5) > CENTRE:
        suits = (
            f"it would suit images of about {2 * cy * height:.0f} x {2 * cx * width:.0f}"
            if min(cx, cy) > 0
            else "it suits a crop beside the centre"
        )
        found.append(f"the principal point {cx * width:.0f}, {cy * height:.0f} is far from the centre; {suits}")
    return found


def compare_calibration(report: Report, looks: Sequence[Look]) -> None:
    """Tell how far the constants of KITTI are from the calibration of every date that has one."""
    seen: dict[tuple[Path, int], tuple[Intrinsics, Size]] = {}
    for look in looks:
        image = Path(look.sample.images[0])
        if 0 in look.sizes and image.parent.name == "data" and image.parents[1].name in ("image_02", "image_03"):
            place = image.parents[3] / CALIBRATION_FILE
            if place.is_file():
                seen[place, int(image.parents[1].name[-1])] = look.sample.intrinsics, look.sizes[0]
    for (place, camera), (intrinsics, size) in sorted(seen.items()):
        try:
            report.tell("calibration", _difference(place, camera, intrinsics, size))
        except UserError as error:
            report.warn(str(error))


def _difference(place: Path, camera: int, intrinsics: Intrinsics, size: Size) -> str:
    matrix = calibration_entry(place, f"P_rect_{camera:02d}", 3, 4)
    stored_width, stored_height = calibration_entry(place, f"S_rect_{camera:02d}", 2)
    height, width = size
    across, down = width / stored_width, height / stored_height  # images may have been resized since
    real = (matrix[0, 0] * across, matrix[1, 1] * down, matrix[0, 2] * across, matrix[1, 2] * down)
    fx, fy, cx, cy = intrinsics
    return (
        f"{place.parent.name} camera {camera}: real fx {real[0]:.1f} fy {real[1]:.1f} cx {real[2]:.1f} cy "
        f"{real[3]:.1f}; those in use differ by {_percent(fx * width, real[0])}, "
        f"{_percent(fy * height, real[1])}, {cx * width - real[2]:+.1f} and {cy * height - real[3]:+.1f} "
        "pixels"
    )


def _percent(used: float, real: float) -> str:
    return f"{100 * (used / real - 1):+.1f} %"
