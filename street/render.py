"""From a scene and a frame number to an image, its depth and its labels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import BASELINE, Camera, Pose
from .ground import ground_labels
from .primitives import Label
from .raycast import FACES, GROUND
from .scene import Scene
from .shade import shade
from .shadow import GroundShadow
from .view import View

SAMPLES = 2  # rays per pixel and axis
SOFTNESS = 0.45  # sigma of the anti-aliasing filter, pixels
NOISE = 0.004
EXPOSURE = 1.08
GAMMA = 0.9


@dataclass(frozen=True)
class Truth:
    """What the pixel centres see.

    Attributes:
        depth: (H, W) float32 camera z in metres, 0 = sky.
        labels: (H, W) uint8 Cityscapes ids.
        moving: (H, W) bool, True on bodies that move.
    """

    depth: np.ndarray
    labels: np.ndarray
    moving: np.ndarray


class Renderer:
    """Draws the frames of one scene.

    Args:
        scene: the street.
        camera: its camera.
    """

    def __init__(self, scene: Scene, camera: Camera):
        self.scene, self.camera = scene, camera
        self._shadow = GroundShadow(scene.table(0)[: len(scene.still)], scene.light.sun)

    def pose(self, frame: int, right: bool = False) -> Pose:
        """Pose of the left or right camera."""
        pose = self.scene.ride.pose(frame)
        return pose.moved(BASELINE, 0, 0) if right else pose

    def image(self, frame: int, right: bool = False, noise: np.random.Generator | None = None) -> np.ndarray:
        """Draw the image of one camera.

        Args:
            frame: frame number.
            right: take the right camera.
            noise: source of the sensor noise; without one, exposure and sensor are ideal.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        planes = shade(self._view(frame, right, SAMPLES), self._shadow)
        size = (self.camera.width, self.camera.height)
        image = cv2.merge([_shrunk(plane, size) for plane in planes]) * np.float32(EXPOSURE)
        if noise is not None:
            image *= np.float32(self.scene.ride.exposure[frame])
            image += np.float32(NOISE) * noise.standard_normal(image.shape, dtype=np.float32)
        return np.round(np.clip(image, 0, 1) ** np.float32(GAMMA) * 255).astype(np.uint8)

    def truth(self, frame: int, right: bool = False) -> Truth:
        """Depth, labels and moving bodies at the pixel centres."""
        view = self._view(frame, right, samples=1)
        depth = np.where(np.isfinite(view.hits.length), view.hits.length, np.float32(0))
        moving = view.hits.code >= FACES * len(self.scene.still)
        return Truth(depth, _labels(view), moving)

    def _view(self, frame: int, right: bool, samples: int) -> View:
        return View(self.scene, frame, self.pose(frame, right), self.camera.rays(samples))


def _labels(view: View) -> np.ndarray:
    code = view.hits.code
    labels = np.full(code.shape, Label.SKY, np.uint8)
    solid = code >= 0
    labels[solid] = view.table["label"][code[solid] // FACES]
    ground = np.flatnonzero(code == GROUND)
    labels.ravel()[ground] = ground_labels(view.scene.road, view.street(view.points(ground))[1])
    return labels


def _shrunk(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Filter a plane of rays and average the rays of each pixel; `size` is (width, height)."""
    soft = cv2.GaussianBlur(plane, (7, 7), SOFTNESS * SAMPLES, borderType=cv2.BORDER_REFLECT)
    return cv2.resize(soft, size, interpolation=cv2.INTER_AREA)
