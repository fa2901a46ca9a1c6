"""The laser scanner: the same caster with the scanner's beams for rays."""

from __future__ import annotations

import numpy as np

from .camera import SCANNER_OFFSET, Pose, scanner_rays
from .raycast import FACES, GROUND
from .scene import Scene
from .view import View

RANGE = (2.0, 80.0)  # metres
DROPOUT = 0.05
RANGE_NOISE = 0.01  # metres


def scan(scene: Scene, frame: int, noise: np.random.Generator | None = None) -> np.ndarray:
    """One turn of the scanner.

    Args:
        scene: the street.
        frame: frame number; everything stands where it is in that frame.
        noise: source of drop-outs and range errors; without one, the scan is ideal.

    Returns:
        (N, 4) float32 in the scanner's axes: x forward, y left, z up in metres, reflectance 0..1.
    """
    rays = scanner_rays()
    view = View(scene, frame, scanner_pose(scene, frame), rays)
    stretch = np.sqrt(1 + rays.down * rays.down)[:, None]  # ray length is horizontal range
    distance = view.hits.length * stretch
    kept = (distance > RANGE[0]) & (distance < RANGE[1])
    if noise is not None:
        kept &= noise.uniform(size=kept.shape) >= DROPOUT
        distance = distance + RANGE_NOISE * noise.standard_normal(kept.shape, dtype=np.float32)
    row, column = np.nonzero(kept)
    flat = (distance / stretch)[row, column]
    points = np.empty((row.size, 4), np.float32)
    points[:, 0] = flat * rays.forward[column]
    points[:, 1] = -flat * rays.right[column]
    points[:, 2] = -flat * rays.down[row]
    points[:, 3] = _reflectance(view, view.hits.code[row, column])
    return points


def scanner_pose(scene: Scene, frame: int) -> Pose:
    """Pose of the scanner: above and behind the left camera, same yaw."""
    return scene.ride.pose(frame).moved(*SCANNER_OFFSET)


def _reflectance(view: View, code: np.ndarray) -> np.ndarray:
    """Mean albedo of what was hit; the ground counts as asphalt."""
    albedo = np.append(view.table["colour"].mean(1), np.float32(view.scene.road.markings.asphalt))
    return albedo[np.where(code == GROUND, -1, code // FACES)]
