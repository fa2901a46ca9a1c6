"""Whether ground truth of depth can be what it is taken for: told alike by the data doctor, training and evaluation."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion

from errors import UserError

from .calibration import baseline_times_focal, projection, read_calibration
from .camera import Size, window_doubts
from .files import image_size, read_depth
from .listing import on_disk
from .map_files import open_maps
from .samples import DepthSource, Sample
from .velodyne import CAMERA_FILE, scanner_to_image

log = logging.getLogger(__name__)

STRETCH = 0.1
"""How much (natural logarithm) truth may be wider for its height than its image; resized images differ by rounding."""
CAMERAS = range(4)  # of a KITTI recording
CROPPED = (0.9, 1.1)  # sides of an image in those of its truth between which a crop looks like a resized image
ROUNDED = 0.01  # how far these may differ in images that were resized
SAME_SIZE = 0.02  # how far disparity may differ in size from the images that its calibration is of
NEAREST_MEDIAN = 0.5  # metres; below, the unit is rather another one
LOOKED_AT = 5  # maps of a loader that are looked at before an evaluation
DENSE = 0.5
"""Share of measured pixels that have all eight neighbours measured, from which on truth can have edges: about 1 in maps
without gaps, 0 in laser scans."""
REMEDY = (
    "fetch the calibration again and leave it as it is, also where images were resized: truth has a size of its own"
)


def require_cameras(samples: Sequence[Sample]) -> None:
    """Check the calibrations that make the truth of these samples; raises `UserError` for the first that cannot."""
    for fault in camera_faults(samples).values():
        raise UserError(fault)


def camera_faults(samples: Sequence[Sample]) -> dict[str, str]:
    """What speaks against the calibrations that make truth: a sentence by the path of each."""
    faults = {}
    sources = {(each.calibration, each.camera): each for each in _sources(samples) if each.calibration}
    for source in sources.values():
        try:
            match source.kind:
                case "velodyne":
                    _check_scanner(source)
                case "disparity":
                    _check_disparity(source)
                case "stereo":
                    baseline_times_focal(Path(source.calibration))
        except UserError as fault:
            faults[_calibration(source)] = str(fault)
    return faults


def _sources(samples: Sequence[Sample]) -> list[DepthSource]:
    return [sample.depth for sample in samples if sample.depth is not None]


def _calibration(source: DepthSource) -> str:
    return str(on_disk(Path(source.calibration, CAMERA_FILE))) if source.kind == "velodyne" else source.calibration


def _check_scanner(source: DepthSource) -> None:
    _, size = scanner_to_image(Path(source.calibration), source.camera)
    check_rectified(Path(_calibration(source)), source.camera, size)


def _check_disparity(source: DepthSource) -> None:
    """Disparity is in pixels of the images that the focal length is of."""
    path, key = Path(source.calibration), f"S_rect_{source.camera:02d}"
    if key not in read_calibration(path) or read_calibration(path)[key][1].size != 2:
        return
    width, height = read_calibration(path)[key][1]
    found = image_size(source.path)
    if max(abs(found[0] / height - 1), abs(found[1] / width - 1)) > SAME_SIZE:
        raise UserError(
            f"{source.path}: {found[0]} x {found[1]} (height x width), but {key} of {path} says {height:g} x {width:g} "
            "and disparity is in these pixels; fetch both again, only images may be resized"
        )
    if source.mode != "released":  # whose focal length is of no image on disk
        check_rectified(path, source.camera, found)


def check_rectified(path: Path, camera: int, size: Size) -> None:
    """Check that the rectified camera of a KITTI calibration can be that of its own images of (height, width).

    Raises:
        UserError: when principal point or field of view are those of other images, or a camera with the same matrix
            has images of another size.
    """
    name = f"P_rect_{camera:02d}"
    matrix = projection(path, name, 3, 4)
    height, width = size
    intrinsics = (matrix[0, 0] / width, matrix[1, 1] / height, matrix[0, 2] / width, matrix[1, 2] / height)
    found = [*window_doubts(intrinsics, size), *_contradictions(path, matrix, size)]
    if found:
        raise UserError(
            f"{path}: {name} does not fit S_rect of {height} x {width} (height x width): {' and '.join(found)}; "
            f"{REMEDY}"
        )


def _contradictions(path: Path, matrix: np.ndarray, size: Size) -> list[str]:
    """Cameras with the same matrix look through the same window, so that their images have one size."""
    stored = read_calibration(path)
    found = []
    for other in CAMERAS:
        _, theirs = stored.get(f"P_rect_{other:02d}", (0, np.empty(0)))
        _, window = stored.get(f"S_rect_{other:02d}", (0, np.empty(0)))
        if theirs.size != 12 or window.size != 2 or not np.allclose(theirs.reshape(3, 4)[:, :3], matrix[:, :3]):
            continue
        if abs(window[1] - size[0]) > 1 or abs(window[0] - size[1]) > 1:
            found.append(f"camera {other} with the same matrix has images of {window[1]:g} x {window[0]:g}")
    return found


def is_stretched(truth: Sequence[int], image: Sequence[int]) -> bool:
    """Whether truth cannot be of an image; shapes that begin with height and width."""
    (height, width), (image_height, image_width) = truth[:2], image[:2]
    return abs(math.log(max(width, 1) * image_height / (max(height, 1) * image_width))) > STRETCH


def misfit(path: str, truth: Sequence[int], image_path: str, image: Sequence[int]) -> str:
    """What to say where `is_stretched`."""
    return (
        f"{path}: {truth[0]} x {truth[1]} (height x width) does not fit the image {image_path} of {image[0]} x "
        f"{image[1]}; give the two the same size"
    )


def looks_cropped(truth: Size, image: Size) -> bool:
    """Whether an image rather lacks margins that its truth has than being resized; (height, width) of both."""
    down, across = (side / whole for side, whole in zip(image, truth, strict=True))
    return all(CROPPED[0] < share < CROPPED[1] for share in (down, across)) and abs(down / across - 1) > ROUNDED


def size_doubts(samples: Sequence[Sample]) -> list[str]:
    """Images that seem to be cropped and their truth not; the first image of every folder is looked at."""
    firsts = {os.path.dirname(sample.images[0]): sample for sample in reversed(samples) if sample.depth is not None}
    found = []
    for sample in reversed(firsts.values()):
        truth, image = _size(sample.depth), image_size(sample.images[0])
        if truth and looks_cropped(truth, image):
            found.append(
                f"{sample.depth.path}: truth of {truth[0]} x {truth[1]} (height x width) for an image of {image[0]} x "
                f"{image[1]}; it is stretched to the image, which is wrong where the image was cropped: crop both alike"
            )
    return found


def unit_doubt(median: float, farthest: float) -> str:
    """What to say where the median depth of a set (metres) is none that a prediction can have; "" where it can.

    farthest: how far predictions may reach, metres
    """
    if NEAREST_MEDIAN <= median <= farthest:
        return ""
    return (
        f"median depth of {median:.2f} m, outside {NEAREST_MEDIAN:g} to {farthest:g} m: is the unit right? maps hold "
        "1/256 m per count, arrays metres; own data say otherwise by --data-depth-unit, and --depth-cap reaches farther"
    )


def warn_of_unit(name: str, samples: Sequence[Sample], farthest: float, skip: bool = False) -> None:
    """Warn where the depth of a loader's samples, of which a few are read, is doubtful as in `unit_doubt`.

    Args:
        name: of the loader
        samples: those of it
        farthest: how far predictions may reach, metres
        skip: pass over maps that cannot be read

    Raises:
        UserError: when one of those that are read cannot be, unless `skip`.
    """
    medians = [np.median(known) for each in _looked_at(samples, skip) if (known := each[each > 0]).size]
    if medians and (doubt := unit_doubt(float(np.median(medians)), farthest)):
        log.warning("%s: %s", name, doubt)


def require_dense(name: str, samples: Sequence[Sample]) -> None:
    """Check that the truth of a loader can have edges: it is no laser scan, nor are its maps, of which a few are read.

    Raises:
        UserError: where it is.
    """
    fault = "comes from laser scans"
    if not any(source.kind in ("velodyne", "lidar") for source in _sources(samples)):
        known = [each > 0 for each in _looked_at(samples)]
        number = sum(int(each.sum()) for each in known)
        inside = sum(int(binary_erosion(each, np.ones((3, 3))).sum()) for each in known)
        if inside >= DENSE * number:
            return
        fault = f"is measured on all sides of only {inside / number:.0%} of its pixels"
    raise UserError(
        f"--metrics boundaries: dense truth is needed, and that of {name} {fault}; take --depth-gt improved where that "
        "is dense, as on the synthetic street, or name another loader"
    )


def _looked_at(samples: Sequence[Sample], skip: bool = False) -> list[np.ndarray]:
    """Depth of a few samples, from the first to the last; with `skip`, without what cannot be read."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, LOOKED_AT).round().astype(int)) if samples else ()
    found = []
    for source in _sources([samples[place] for place in chosen]):
        try:
            found.append(read_depth(source))
        except UserError:
            if not skip:
                raise
    return found


def _size(source: DepthSource) -> Size | None:
    """(height, width) of a truth, from the head of its file; None for arrays, which are compared when they are read."""
    match source.kind:
        case "velodyne":
            return scanner_to_image(Path(source.calibration), source.camera)[1]
        case "array" | "laser grid":
            return None
        case "lidar":
            return source.size
        case "given":
            return open_maps(source.path).shape(source.number)
    return image_size(source.path)
