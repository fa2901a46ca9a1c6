"""Whether a camera can belong to its images: the one that a network trains with, and the one that makes its truth."""

from __future__ import annotations

import math

FIELD_OF_VIEW = (20.0, 150.0)  # degrees; outside, the focal length is rather that of another image size
PIXEL_ASPECT = 0.10  # how far fx / fy in pixels may be from 1
CENTRE = 0.15  # how far the principal point may be from the image centre, in image widths or heights
BOTH = 0.06  # likewise the mean of both, where it is off to the same side in both: images were resized, it was not

Intrinsics = tuple[float, float, float, float]
Size = tuple[int, int]


def field_of_view(focal: float) -> float:
    """Degrees that an image spans whose focal length is `focal` times its width (or height)."""
    return math.degrees(2 * math.atan(0.5 / focal))


def in_words(intrinsics: Intrinsics, size: Size) -> str:
    """Normalised intrinsics of (height, width) images, in pixels and angles."""
    height, width = size
    fx, fy, cx, cy = intrinsics
    return (
        f"fx {fx * width:.1f} fy {fy * height:.1f} cx {cx * width:.1f} cy {cy * height:.1f} pixels at "
        f"{height} x {width}: {field_of_view(fx):.0f} degrees wide, {field_of_view(fy):.0f} high, "
        f"pixel aspect {fx * width / (fy * height):.3f}"
    )


def doubts(intrinsics: Intrinsics, size: Size) -> list[str]:
    """What speaks against normalised intrinsics of (height, width) images."""
    return window_doubts(intrinsics, size) + _aspect_doubts(intrinsics, size)


def window_doubts(intrinsics: Intrinsics, size: Size) -> list[str]:
    """What speaks against the field of view and the principal point, whatever the shape of a pixel."""
    height, width = size
    fx, fy, cx, cy = intrinsics
    found = []
    for name, focal in (("horizontal", fx), ("vertical", fy)):
        angle = field_of_view(focal)
        if not FIELD_OF_VIEW[0] <= angle <= FIELD_OF_VIEW[1]:
            found.append(f"a {name} field of view of {angle:.0f} degrees is implausible")
    right, down = cx - 0.5, cy - 0.5
    if max(abs(right), abs(down)) > CENTRE or (right * down > 0 and abs(right + down) / 2 > BOTH):
        suits = (
            f"it would suit images of about {2 * cy * height:.0f} x {2 * cx * width:.0f}"
            if min(cx, cy) > 0
            else "it suits a crop beside the centre"
        )
        found.append(f"the principal point {cx * width:.0f}, {cy * height:.0f} is far from the centre; {suits}")
    return found


def _aspect_doubts(intrinsics: Intrinsics, size: Size) -> list[str]:
    fx, fy, _, _ = intrinsics
    aspect = fx * size[1] / (fy * size[0])
    if abs(aspect - 1) <= PIXEL_ASPECT:
        return []
    return [
        f"fx/fy is {aspect:.2f} in pixels, about 1 for almost every camera (another aspect ratio of the "
        "images, or numbers swapped?)"
    ]
