"""Write frames, scans and calibration in the layouts of KITTI raw and Cityscapes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np

from errors import UserError

from .camera import BASELINE, SCANNER_OFFSET, Camera, Pose

DATE = "2011_09_26"
COMPRESSION = 3  # fixed, so that equal pictures are equal files
LATITUDE, LONGITUDE = 49.0, 8.4  # degrees, where the street starts
EARTH = 6378137.0  # metres
IMU_TO_SCANNER = (-0.81, 0.32, -0.80)  # metres
SECONDS = 0.1  # between frames
CITYSCAPES_BASELINE = 0.22  # metres


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a PNG: uint8 RGB (H, W, 3), or uint8 or uint16 (H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = image[..., ::-1] if image.ndim == 3 else image
    if not cv2.imwrite(str(path), stored, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION]):
        raise UserError(f"{path}: cannot be written; check the free space and the rights of the folder")


def write_depth(path: Path, depth: np.ndarray) -> None:
    """Write metres as 16-bit PNG, 256 counts a metre; 0 = none, also beyond 255 m."""
    write_image(path, np.where(depth <= 255, np.round(depth * 256), 0).astype(np.uint16))


def write_points(path: Path, points: np.ndarray) -> None:
    """Write a laser scan, (N, 4) as little-endian float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(points.astype("<f4").tobytes())


def write_text(path: Path, text: str) -> None:
    """Write text with LF line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _row(key: str, values: np.ndarray | tuple[float, ...]) -> str:
    return f"{key}: " + " ".join(f"{value:.6e}" for value in np.ravel(values)) + "\n"


def calibration_files(camera: Camera) -> dict[str, str]:
    """Name and text of the three calibration files of a date."""
    identity, size = np.eye(3), (camera.width, camera.height)
    head = "calib_time: 01-Jan-2000 00:00:00\n"
    cameras = head + "corner_dist: 9.950000e-02\n"
    for number, shift in ((0, 0.0), (1, -BASELINE), (2, 0.0), (3, -BASELINE)):
        projection = np.hstack([camera.matrix(), [[camera.fx * shift], [0], [0]]])
        cameras += "".join(
            [
                _row(f"S_{number:02d}", size),
                _row(f"K_{number:02d}", camera.matrix()),
                _row(f"D_{number:02d}", (0.0,) * 5),
                _row(f"R_{number:02d}", identity),
                _row(f"T_{number:02d}", (shift, 0.0, 0.0)),
                _row(f"S_rect_{number:02d}", size),
                _row(f"R_rect_{number:02d}", identity),
                _row(f"P_rect_{number:02d}", projection),
            ]
        )
    scanner = head + _row("R", (0, -1, 0, 0, 0, -1, 1, 0, 0)) + _row("T", SCANNER_OFFSET)
    scanner += _row("delta_f", (0.0, 0.0)) + _row("delta_c", (0.0, 0.0))
    imu = head + _row("R", identity) + _row("T", IMU_TO_SCANNER)
    return {"calib_cam_to_cam.txt": cameras, "calib_velo_to_cam.txt": scanner, "calib_imu_to_velo.txt": imu}


def oxts_line(pose: Pose, speed: float) -> str:
    """The 30 numbers of the inertial unit for a left camera pose and a speed in metres per frame.

    World x counts as east and z as north, in the Mercator frame of the KITTI development kit.
    """
    right, down = -IMU_TO_SCANNER[1], -IMU_TO_SCANNER[2]
    unit = pose.moved(right + SCANNER_OFFSET[0], down + SCANNER_OFFSET[1], IMU_TO_SCANNER[0] + SCANNER_OFFSET[2])
    scale = math.cos(math.radians(LATITUDE))
    east = scale * EARTH * math.radians(LONGITUDE) + unit.x
    north = scale * EARTH * math.log(math.tan(math.radians(90 + LATITUDE) / 2)) + unit.z
    latitude = math.degrees(2 * math.atan(math.exp(north / (scale * EARTH)))) - 90
    longitude = math.degrees(east / (scale * EARTH))
    values = [0.0] * 30
    values[:3] = latitude, longitude, -unit.y
    values[5] = math.remainder(math.pi / 2 - pose.yaw, 2 * math.pi)
    values[8] = speed / SECONDS
    return " ".join(f"{value:.15g}" for value in values) + "\n"


def timestamps(frames: int) -> str:
    """Lines `date time` at 10 Hz."""
    lines = []
    for frame in range(frames):
        minutes, tenths = divmod(frame, 600)
        lines.append(f"{DATE.replace('_', '-')} 13:{minutes:02d}:{tenths // 10:02d}.{tenths % 10}00000000\n")
    return "".join(lines)


def pose_lines(poses: list[Pose]) -> str:
    """One 3x4 row-major matrix a line: camera to first camera."""
    first = np.linalg.inv(poses[0].matrix())
    return "".join(" ".join(f"{value:.9e}" for value in (first @ pose.matrix())[:3].ravel()) + "\n" for pose in poses)


def camera_json(camera: Camera) -> str:
    """Camera file of Cityscapes."""
    extrinsic = {"baseline": CITYSCAPES_BASELINE, "pitch": 0.0, "roll": 0.0, "x": 0.0, "y": 0.0, "yaw": 0.0, "z": 1.65}
    intrinsic = {"fx": camera.fx, "fy": camera.fy, "u0": camera.cx, "v0": camera.cy}
    return json.dumps({"extrinsic": extrinsic, "intrinsic": intrinsic}, indent=4) + "\n"
