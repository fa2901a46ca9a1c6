"""One look at a scene: what an eye meets, and where those points lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Pose, Rays
from .raycast import Hits, cast
from .scene import Scene


@dataclass(frozen=True)
class Points:
    """Chosen rays: world position, ray length and horizontal ray direction; all (n,) float32, metres."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    length: np.ndarray
    ray_x: np.ndarray
    ray_z: np.ndarray


class View:
    """A cast bundle of rays.

    Args:
        scene: the street.
        frame: frame number; everything stands where it is then.
        pose: the eye.
        rays: its rays, H rows and W columns.
    """

    def __init__(self, scene: Scene, frame: int, pose: Pose, rays: Rays):
        self.scene, self.pose, self.rays = scene, pose, rays
        self.table = scene.table(frame)
        self.hits: Hits = cast(self.table, pose, rays)
        self.world_x, self.world_z = rays.world(pose.yaw)
        self._near = scene.ride.travelled(frame)

    @property
    def movers(self) -> np.ndarray:
        """The shapes that move."""
        return self.table[len(self.scene.still) :]

    def split(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of flat pixel numbers."""
        return np.divmod(pixels, self.rays.right.size)

    def points(self, pixels: np.ndarray) -> Points:
        """What the rays of these flat pixel numbers hit."""
        row, column = self.split(pixels)
        length = self.hits.length.ravel()[pixels]
        ray_x, ray_z = self.world_x[column], self.world_z[column]
        x, z = np.float32(self.pose.x) + length * ray_x, np.float32(self.pose.z) + length * ray_z
        return Points(x, np.float32(self.pose.y) + length * self.rays.down[row], z, length, ray_x, ray_z)

    def street(self, at: Points) -> tuple[np.ndarray, np.ndarray]:
        """Street coordinates (s, d) of points, metres."""
        return self.scene.road.arc.locate(at.x, at.z, self._near)
