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

from .calibration import LARGEST, LONGEST_SIDE, SMALLEST
from .catalog import LoaderSpec
from .window import Window

log = logging.getLogger(__name__)
NO_CAMERA = (1.0, 1.0, 0.5, 0.5)
"""Intrinsics where nothing says which they are; evaluation of depth needs none."""
FURTHER = {"dense": "filled depth", "base": "smooth depth"}
"""Maps that a sample may have besides its truth, by field."""
MOST_CROPPED = 10  # how many times as wide or high as a crop the whole image may be


@dataclass(frozen=True, slots=True)
class DepthSource:
    """Where the ground truth of one image comes from.

    map:        16-bit PNG `path`, metres by `unit`, or where that is 0 by `mode`
    array:      `path` ending in .npy, numbers of `unit` metres; 0: float metres, integers are refused
    velodyne:   laser scan `path`, `calibration` = folder with both KITTI files, camera 2 or 3;
                `cache` = prefix of the PNG that keeps the result, empty for none;
                `mode` "forward" takes x of the scanner, unrounded, instead of depth along the camera axis in 1/256 m
    disparity:  16-bit PNG `path` of KITTI 2015, `calibration` = its calib_cam_to_cam file, camera 2 or 3;
                `mode` "released" takes the focal length before rectification, as the published maps do
    stereo:     16-bit PNG `path` of Cityscapes disparity, `calibration` = its camera.json, empty for the usual camera
    lidar:      points of the .npz file `path` of DDAD; `matrix`, (3, 4) row by row, projects them into an image of
                `size`
    hdf5:       metres at `path` in an HDF5 file, see `nyu_files`
    laser grid: metres in the .mat file `path` of Make3D
    given:      map `number` of the file `path` that the user named, see `map_files`
    """

    kind: Literal["map", "array", "velodyne", "disparity", "stereo", "lidar", "hdf5", "laser grid", "given"]
    path: str
    mode: str = "uint_16"
    calibration: str = ""
    camera: int = 2
    cache: str = ""
    unit: float = 0.0
    matrix: tuple[float, ...] = ()
    size: tuple[int, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of one image with its neighbours and truth.

    `images` maps frame offsets to paths; `intrinsics` are fx, fy, cx, cy divided by width and height, `measured` tells
    whether cx is a column of pixels that somebody measured, or stands for the middle of any image, `camera` where those
    of own data are written;
    `pose` is camera-to-world, (4, 4) float64; `labels` is empty and `depth`, `pose` are None where absent, as are
    `dense`, depth with its gaps filled, and `base`, a smooth version of it, which only training knows. `window` is that
    of the loader.
    """

    name: str
    images: dict[int, str]
    intrinsics: tuple[float, float, float, float]
    depth: DepthSource | None = None
    labels: str = ""
    labels_mode: str = "fromid"
    pose: np.ndarray | None = None
    measured: bool = False
    dense: DepthSource | None = None
    base: DepthSource | None = None
    window: Window | None = None
    camera: str = ""


def check_intrinsics(
    where: str,
    values: Sequence[float],
    height: float = 1.0,
    width: float = 1.0,
    remedy: str = "give fx,fy,cx,cy in pixels of the files",
    any_crop: bool = False,
) -> tuple[float, float, float, float]:
    """Intrinsics in pixels of a (height, width) image -> the same divided by that size; 1 x 1 checks normalised ones.

    Args:
        where: named first when something is wrong
        values: fx, fy, cx, cy
        height: of the image
        width: of the image
        remedy: what to do then
        any_crop: the principal point may lie outside, however far, and no warning says so

    Raises:
        UserError: unless these are four finite numbers, the focal lengths positive, the centre inside the image or
            outside as it is in a crop of a larger one (then a warning says so), and all of them numbers in float32, in
            which cameras are computed.
    """
    numbers = tuple(float(value) for value in values)  # NumPy's would name their type in the sentence
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise UserError(f"{where}: {', '.join(f'{each:g}' for each in numbers)} are not four numbers; {remedy}")
    fx, fy, cx, cy = numbers
    if fx <= 0 or fy <= 0:
        raise UserError(f"{where}: focal lengths {fx:g}, {fy:g} must be positive; {remedy}")
    if not any_crop and not (0 < cx < width and 0 < cy < height):
        fault = (
            f"{where}: principal point {cx:g}, {cy:g} lies outside the {width:g} x {height:g} (width x height) image"
        )
        halves = ((max(cx, width - cx), width, fx), (max(cy, height - cy), height, fy))  # of the image it is cut from
        if any(half >= focal or 2 * half > MOST_CROPPED * size for half, size, focal in halves):  # beyond 45 degrees
            raise UserError(f"{fault}; {remedy}")
        _warn_of_crop(fault)
    normalised = fx / width, fy / height, cx / width, cy / height
    check_float32(where, normalised, numbers, remedy)
    return normalised


def check_float32(where: str, values: Sequence[float], shown: Sequence[float] = (), remedy: str = "") -> None:
    """Raises `UserError` unless values, at the size of any image, become neither 0 nor infinite in float32.

    Args:
        where: named first
        values: fx, fy, cx, cy, in pixels or divided by the size of the image
        shown: the same as the user wrote them, where that is otherwise
        remedy: what to do
    """
    for place, (value, written) in enumerate(zip(values, shown or values, strict=True)):
        border = value == 0 and place >= 2  # a principal point may lie on it
        # Each is multiplied by a size of up to LONGEST_SIDE later, and inverted.
        if not border and not SMALLEST * LONGEST_SIDE <= abs(value) <= LARGEST / LONGEST_SIDE:
            raise UserError(
                f"{where}: {written:g} becomes 0 or infinite in float32, in which cameras are computed; "
                f"{remedy or 'give the true number'}"
            )


@functools.cache
def _warn_of_crop(fault: str) -> None:
    """Once, however many images of a data set are so."""
    log.warning("%s; right for a crop beside the centre; of resized images, scale fx,fy,cx,cy with them", fault)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to look for, and where.

    `depth_gt` is "raw", "scanner" (raw, but x of the scanner) or "improved"; `cache_folder` keeps projected laser
    scans, empty for nowhere; `as_released` takes the published KITTI 2015 depth, with its focal length before
    rectification; `drop` leaves out samples with missing files, which are an error otherwise; `skip` passes over
    damaged images; `camera` is that of KITTI which is judged, "left", "right", or "protocol": what a list says;
    `listed` is False where lists of images with depth are passed over, for what is on disk; `ends` takes the motions at
    both ends of a drive as well.
    """

    spec: LoaderSpec
    dataset_dir: Path
    depth_gt: str = "raw"
    cache_folder: str = ""
    as_released: bool = False
    drop: bool = False
    skip: bool = False
    camera: str = "protocol"
    listed: bool = True
    ends: bool = False

    def folder(self, name: str, how: str) -> Path:
        """A folder of the data set folder; raises `UserError` where it is missing, `how` says how it comes there."""
        folder = self.dataset_dir / name
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; {how} there, or set --dataset-dir")
        return folder

    @property
    def cameras(self) -> tuple[str, ...]:
        """Categories of an index file whose images are wanted."""
        names = {"left": ("color",), "right": ("color_right",)}
        return self.spec.cameras if self.spec.training else names.get(self.camera, self.spec.cameras)
