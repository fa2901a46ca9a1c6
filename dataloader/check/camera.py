"""Whether the intrinsics a loader uses can belong to its images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dataloader.calibration import calibration_entry, rectified_size
from dataloader.camera import Intrinsics, Size, doubts, field_of_view
from dataloader.check.look import Look
from dataloader.check.report import Report
from dataloader.listing import on_disk
from dataloader.parts import part_of, uncut
from dataloader.truth import check_rectified
from dataloader.velodyne import CAMERA_FILE
from errors import UserError


def check_camera(report: Report, looks: Iterable[Look], own: bool) -> None:
    """Tell the intrinsics, warn where they cannot be right; `own` numbers were given by the user in pixels.

    Where images are a part of what the camera saw, that whole is judged.
    """
    seen: dict[tuple[Intrinsics, Size], str] = {}
    for look in looks:
        if 0 in look.sizes:
            whole = uncut(look.sample.images[0], look.sample.intrinsics, look.sizes[0])
            seen[whole] = _place(look, own) if look.sample.measured else ""
    told = set()
    for (intrinsics, size), place in seen.items():
        if intrinsics not in told:
            told.add(intrinsics)
            report.tell("intrinsics", _in_words(intrinsics, size))
        for doubt in doubts(intrinsics, size):
            remedy = f"; check {place}" if place else ""
            report.warn(f"intrinsics at {size[0]} x {size[1]}: {doubt}{remedy}")


def _place(look: Look, own: bool) -> str:
    """Where the intrinsics of a sample are written."""
    if own:
        return "--data-intrinsics fx,fy,cx,cy, in pixels of the files"
    return "the camera files" if part_of(look.sample.images[0]) else "K in parameters.json"


def _in_words(intrinsics: Intrinsics, size: Size) -> str:
    height, width = size
    fx, fy, cx, cy = intrinsics
    return (
        f"fx {fx * width:.1f} fy {fy * height:.1f} cx {cx * width:.1f} cy {cy * height:.1f} pixels at "
        f"{height} x {width}: {field_of_view(fx):.0f} degrees wide, {field_of_view(fy):.0f} high, "
        f"pixel aspect {fx * width / (fy * height):.3f}"
    )


def compare_calibration(report: Report, looks: Sequence[Look]) -> None:
    """Tell how far the constants of KITTI are from the calibration of every date that has one."""
    seen: dict[tuple[Path, int], tuple[Intrinsics, Size]] = {}
    for look in looks:
        image = Path(look.sample.images[0])
        if 0 in look.sizes and image.parent.name == "data" and image.parents[1].name in ("image_02", "image_03"):
            place = on_disk(image.parents[3] / CAMERA_FILE)
            if place.is_file():
                seen[place, int(image.parents[1].name[-1])] = look.sample.intrinsics, look.sizes[0]
    for (place, camera), (intrinsics, size) in sorted(seen.items()):
        try:
            report.tell("calibration", _difference(place, camera, intrinsics, size))
        except UserError as error:
            if str(error) not in report.faults:
                report.warn(str(error))


def _difference(place: Path, camera: int, intrinsics: Intrinsics, size: Size) -> str:
    matrix = calibration_entry(place, f"P_rect_{camera:02d}", 3, 4)
    stored_height, stored_width = stored = rectified_size(place, camera)
    check_rectified(place, camera, stored)
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
