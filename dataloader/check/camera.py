"""Whether the intrinsics a loader uses can belong to its images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dataloader.calibration import calibration_entry, rectified_size
from dataloader.camera import Intrinsics, Size, doubts, in_words
from dataloader.check.look import Look
from dataloader.check.report import SHOWN, Report
from dataloader.listing import on_disk
from dataloader.parts import part_of, uncut
from dataloader.truth import check_rectified
from dataloader.velodyne import CAMERA_FILE
from errors import UserError


def check_camera(report: Report, looks: Iterable[Look]) -> None:
    """Tell the intrinsics, and warn where they cannot be right.

    Where images are a part of what the camera saw, that whole is judged.
    """
    seen: dict[tuple[Intrinsics, Size], str] = {}
    told: dict[Intrinsics, str] = {}
    for look in looks:
        if 0 in look.sizes:
            whole = uncut(look.sample.images[0], look.sample.intrinsics, look.sizes[0])
            seen[whole] = _place(look) if look.sample.measured else ""
            source = f" (from {look.sample.camera})" if look.sample.camera else ""
            told.setdefault(whole[0], in_words(*whole) + source)
    for sentence in [*told.values()][:SHOWN]:
        report.tell("intrinsics", sentence)
    if len(told) > SHOWN:
        report.tell("intrinsics", f"and {len(told) - SHOWN} others")
    for (intrinsics, size), place in seen.items():
        for doubt in doubts(intrinsics, size):
            remedy = f"; check {place}" if place else ""
            report.warn(f"intrinsics at {size[0]} x {size[1]}: {doubt}{remedy}")


def _place(look: Look) -> str:
    """Where the intrinsics of a sample are written."""
    if look.sample.camera:
        return look.sample.camera
    return "the camera files" if part_of(look.sample.images[0]) else "K in parameters.json"


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
