"""Eyes of the street: poses with yaw only, pinhole cameras, and the separable bundles of rays they cast.

World: x right, y down, z forward, metres; the ground is y = 0.  A pose turns about y alone, so the
world direction of a ray splits into a part that depends on the column and one that depends on the row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

EYE_HEIGHT = 1.65  # metres above the ground, both KITTI-like and Cityscapes-like
BASELINE = 0.54  # metres from the left to the right KITTI-like camera
SCANNER_OFFSET = (0.0, -0.08, -0.27)  # scanner in the left camera's axes, metres: 8 cm above, 27 cm behind


@dataclass(frozen=True)
class Pose:
    """Where an eye is and which way it looks; `yaw` in radians, positive to the right."""

    x: float
    y: float
    z: float
    yaw: float

    def moved(self, right: float, down: float, forward: float) -> Pose:
        """The pose displaced along its own axes, metres."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return replace(
            self, x=self.x + right * cos + forward * sin, y=self.y + down, z=self.z - right * sin + forward * cos
        )

    def matrix(self) -> np.ndarray:
        """Camera-to-world transform, float64 (4, 4)."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return np.array(
            [[cos, 0, sin, self.x], [0, 1, 0, self.y], [-sin, 0, cos, self.z], [0, 0, 0, 1]], dtype=np.float64
        )


@dataclass(frozen=True)
class Rays:
    """A bundle of rays (right[c], down[r], forward[c]) in the eye's axes; lengths are multiples of that vector.

    Attributes:
        right: (W,) float32, sideways part of each column.
        forward: (W,) float32, forward part of each column; 1 for a camera, so that the ray length is camera z.
        down: (H,) float32, vertical part of each row, ascending.
        pitch: distance of neighbouring rays (across, down) one unit away, for texture footprints.
    """

    right: np.ndarray
    forward: np.ndarray
    down: np.ndarray
    pitch: tuple[float, float]

    def world(self, yaw: float) -> tuple[np.ndarray, np.ndarray]:
        """World x and z parts of the columns for an eye with this yaw, each (W,) float32."""
        cos, sin = np.float32(math.cos(yaw)), np.float32(math.sin(yaw))
        return self.right * cos + self.forward * sin, self.forward * cos - self.right * sin


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; focal lengths and principal point in pixels, integer coordinates are pixel centres."""

    height: int
    width: int
    fx: float
    fy: float
    cx: float
    cy: float

    def rays(self, samples: int = 1) -> Rays:
        """Rays through the centres of `samples` x `samples` equal parts of every pixel."""

        def centres(count: int) -> np.ndarray:
            return (np.arange(count * samples) + 0.5) / samples - 0.5

        across = (centres(self.width) - self.cx) / self.fx
        down = (centres(self.height) - self.cy) / self.fy
        pitch = (1 / (self.fx * samples), 1 / (self.fy * samples))
        return Rays(across.astype(np.float32), np.ones(across.size, np.float32), down.astype(np.float32), pitch)

    def matrix(self) -> np.ndarray:
        """Intrinsics K in pixels, float64 (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)


def kitti_camera(height: int, width: int) -> Camera:
    """Camera with the published normalised intrinsics of KITTI."""
    return Camera(height, width, 0.58 * width, 1.92 * height, 0.5 * width, 0.5 * height)


def cityscapes_camera(height: int, width: int) -> Camera:
    """Camera with the published normalised intrinsics of Cityscapes; meant for images twice as wide as high."""
    return Camera(height, width, 1.10 * width, 2.21 * height, 0.5 * width, 0.5 * height)


def scanner_rays() -> Rays:
    """The 64 beams of a spinning scanner, 120 degrees to the front; ray lengths are horizontal ranges."""
    azimuth = np.radians(np.arange(-300, 301) * 0.2)
    elevation = np.radians(np.concatenate([2 - np.arange(32) / 3, -8.83 - np.arange(32) * 0.5]))
    pitch = (math.radians(0.2), math.radians(0.4))
    return Rays(
        np.sin(azimuth).astype(np.float32),
        np.cos(azimuth).astype(np.float32),
        -np.tan(elevation).astype(np.float32),
        pitch,
    )
