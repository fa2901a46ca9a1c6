"""What a loader finds on disk, before anything is read."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from errors import UserError

from .catalog import LoaderSpec

log = logging.getLogger(__name__)
MOST_CROPPED = 10  # how many times as wide or high as a crop the whole image may be


@dataclass(frozen=True, slots=True)
class DepthSource:
    """Where the ground truth of one image comes from.

    map:        16-bit PNG `path`, metres by `mode`
    array:      `path` ending in .npy, float metres
    velodyne:   laser scan `path`, `calibration` = folder with both KITTI files, camera 2 or 3;
                `cache` = prefix of the PNG that keeps the result, empty for none
    disparity:  16-bit PNG `path` of KITTI 2015, `calibration` = its calib_cam_to_cam file, camera 2 or 3;
                `mode` "released" takes the focal length before rectification, as the published maps do
    """

    kind: Literal["map", "array", "velodyne", "disparity"]
    path: str
    mode: str = "uint_16"
    calibration: str = ""
    camera: int = 2
    cache: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of one image with its neighbours and truth.

    `images` maps frame offsets to paths; `intrinsics` are fx, fy, cx, cy divided by width and height;
    `pose` is camera-to-world, (4, 4) float64; `labels` is empty and `depth`, `pose` are None where absent.
    """

    name: str
    images: dict[int, str]
    intrinsics: tuple[float, float, float, float]
    depth: DepthSource | None = None
    labels: str = ""
    labels_mode: str = "fromid"
    pose: np.ndarray | None = None


def check_intrinsics(
    where: str, values: Sequence[float], height: float = 1.0, width: float = 1.0
) -> tuple[float, float, float, float]:
    """Intrinsics in pixels of a (height, width) image -> the same divided by that size; 1 x 1 checks normalised ones.

    Raises:
        UserError: unless these are four finite numbers, the focal lengths positive, and the centre inside the image, or
            outside as it is in a crop of a larger one: then a warning says so.
    """
    if len(values) != 4 or not np.isfinite(values).all():
        raise UserError(f"{where}: {list(values)} are not four numbers; give fx,fy,cx,cy")
    fx, fy, cx, cy = (float(value) for value in values)
    if fx <= 0 or fy <= 0:
        raise UserError(f"{where}: focal lengths {fx:g}, {fy:g} must be positive; give fx,fy,cx,cy")
    if not (0 < cx < width and 0 < cy < height):
        fault = (
            f"{where}: principal point {cx:g}, {cy:g} lies outside the {width:g} x {height:g} (width x height) image"
        )
        halves = ((max(cx, width - cx), width, fx), (max(cy, height - cy), height, fy))  # of the image it is cut from
        if any(half >= focal or 2 * half > MOST_CROPPED * size for half, size, focal in halves):  # beyond 45 degrees
            raise UserError(f"{fault}; give fx,fy,cx,cy in its pixels")
        _warn_of_crop(fault)
    return fx / width, fy / height, cx / width, cy / height


@functools.cache
def _warn_of_crop(fault: str) -> None:
    """Once, however many images of a data set are so."""
    log.warning("%s; right for a crop beside the centre; of resized images, scale fx,fy,cx,cy with them", fault)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to look for, and where.

    `depth_gt` is "raw" or "improved"; `cache_folder` takes projected laser scans where the data folder is read-only;
    `as_released` takes the published KITTI 2015 depth, with its focal length before rectification; `drop` leaves out
    samples with missing files, which are an error otherwise; `skip` passes over damaged images.
    """

    spec: LoaderSpec
    dataset_dir: Path
    depth_gt: str = "raw"
    cache_folder: str = ""
    as_released: bool = False
    drop: bool = False
    skip: bool = False
