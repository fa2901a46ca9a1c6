"""Depth maps from KITTI laser scans (Geiger et al. 2013; projection and rounding as in the published SGDepth code)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from errors import UserError

from . import arrays
from .calibration import calibration_entry, projection, rectified_size, rotation

CAMERA_FILE = "calib_cam_to_cam.txt"
SCANNER_FILE = "calib_velo_to_cam.txt"
MOST_BYTES = 1 << 28  # a hundred times a scan


def read_scan(path: Path) -> np.ndarray:
    """Points of one scan.

    Returns: (N, 4) float32: x forward, y left, z up in metres, reflectance.

    Raises:
        UserError: when the file is missing, empty, far too long, its size is not a whole number of points, or none of
            them is finite.
    """
    try:
        size = path.stat().st_size
        values = np.fromfile(path, "<f4", count=MOST_BYTES // 4)
    except OSError as fault:
        raise UserError(f"{path}: cannot read the laser scan ({fault.strerror}); fetch it again") from fault
    if size == 0 or size % 16 or size > MOST_BYTES or values.nbytes != size:
        raise UserError(f"{path}: {size} bytes are not a laser scan of 16 bytes a point; fetch it again")
    points = values.reshape(-1, 4)
    finite = np.isfinite(points).all(1)
    if not finite.any():
        raise UserError(f"{path}: none of {len(points)} points is finite; fetch it again")
    return points if finite.all() else points[finite]


def scanner_to_image(calibration: Path, camera: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Projection of homogeneous scanner points into a rectified colour camera (2 left, 3 right).

    Returns: (3, 4) float64 matrix, image size (height, width).
    """
    cameras, scanner = calibration / CAMERA_FILE, calibration / SCANNER_FILE
    rectify, mount = np.eye(4), np.eye(4)
    rectify[:3, :3] = rotation(cameras, "R_rect_00")
    mount[:3, :3] = rotation(scanner, "R")
    mount[:3, 3] = calibration_entry(scanner, "T", 3)
    matrix = projection(cameras, f"P_rect_{camera:02d}", 3, 4)
    return matrix @ rectify @ mount, rectified_size(cameras, camera)


def project(points: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Depth map of a laser scan.

    Pixels are rounded and shifted by one as in the KITTI development kit. Points that share the index
    row * (W - 1) + column - 1 are one group: its smallest depth goes to the pixel of its first point. The index
    lets the last column of a row meet the first of the next; kept, because published numbers were made so.

    Shapes:  points (N, 4), scanner coordinates; matrix (3, 4); size (height, width)
    Returns: (H, W) float64, camera z in metres, 0 where no point falls.
    """
    row, column, distance, _ = _seen(points, matrix, size)
    depth = np.zeros(size)
    depth[row, column] = distance
    if len(distance):
        group = row * (size[1] - 1) + column - 1
        order = np.argsort(group, kind="stable")  # within a group the first point stays first
        starts = np.flatnonzero(np.diff(group[order], prepend=group[order[0]] - 1))
        first = order[starts]
        depth[row[first], column[first]] = np.minimum.reduceat(distance[order], starts)
    return np.maximum(depth, 0)


def project_forward(points: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Map of the forward distance of a laser scan, as Monodepth2 exports the ground truth of the Eigen test set.

    Pixels as in `project`, but each by itself: the published code merges the last column with the first one of the
    next row here, too, which no published crop lets count.

    Shapes:  as `project`
    Returns: (H, W) float32, x of the scanner in metres (about 0.27 m more than camera z), 0 where no point falls.
    """
    row, column, _, forward = _seen(points, matrix, size)
    return nearest(row, column, forward, size)


def read_cloud(path: Path) -> np.ndarray:
    """Points of an .npz file of DDAD, key ``data``.

    Returns: (N, 3) float64, metres in the frame of the scanner; those that are not finite are left out.

    Raises:
        UserError: when the file cannot be read or holds no points.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            values = arrays.read_member(archive, "data", MOST_BYTES)
    except arrays.FAULTS as fault:
        raise UserError(f"{path}: cannot read the laser scan ({fault}); fetch it again") from fault
    if values.ndim != 2 or values.shape[1] < 3 or values.dtype.kind != "f":
        raise UserError(f"{path}: {values.dtype} of shape {values.shape} are no points (N, 4); fetch it again")
    points = values[:, :3].astype(np.float64)
    return points[np.isfinite(points).all(1)]


def project_cloud(points: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Depth map of points in front of a camera, in the pixels that their places begin with, as the kit of DDAD has it.

    Of several points in a pixel the nearest counts, there the last one.

    Shapes:  points (N, 3); matrix (3, 4); size (height, width)
    Returns: (H, W) float32, camera z in metres, 0 where no point falls.
    """
    height, width = size
    seen = points @ matrix[:, :3].T + matrix[:, 3]
    seen = seen[seen[:, 2] > 0]
    places = seen[:, :2] / seen[:, 2:]
    inside = (places >= 0).all(1) & (places[:, 0] < width) & (places[:, 1] < height)
    column, row = places[inside].astype(np.int64).T
    return nearest(row, column, seen[inside, 2], size)


def nearest(row: np.ndarray, column: np.ndarray, distance: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The smallest distance (N,) in every pixel: (H, W) float32, 0 where there is none."""
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (row, column), distance.astype(np.float32))
    return np.where(np.isfinite(depth), np.maximum(depth, 0), np.float32(0))


def _seen(
    points: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns (N,) of the points that fall into the image, with their camera z and scanner x in metres."""
    height, width = size
    ahead = points[points[:, 0] >= 0].copy()
    ahead[:, 3] = 1
    seen = (matrix @ ahead.T).T  # (N, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.round(seen[:, :2] / seen[:, 2:]) - 1
    inside = (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    column, row = pixels[inside].astype(np.int64).T
    return row, column, seen[inside, 2], ahead[inside, 0]
