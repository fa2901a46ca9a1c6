"""Independent checks of a rendered street: views warped by explicit projection, and the published photometric error."""

from __future__ import annotations

import cv2
import numpy as np

from street.camera import Camera, Pose
from street.render import Renderer


def photometric_error(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """0.85 DSSIM + 0.15 L1 per pixel of two (H, W, 3) float images in [0, 1]; (H, W)."""

    def pooled(image: np.ndarray) -> np.ndarray:
        return cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT_101)

    mean_a, mean_b = pooled(first), pooled(second)
    var_a, var_b = pooled(first * first) - mean_a**2, pooled(second * second) - mean_b**2
    mixed = pooled(first * second) - mean_a * mean_b
    ssim = (2 * mean_a * mean_b + 1e-4) * (2 * mixed + 9e-4)
    ssim /= (mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)
    dissimilar = np.clip((1 - ssim) / 2, 0, 1).mean(2)
    return 0.85 * dissimilar + 0.15 * np.abs(first - second).mean(2)


def project(depth: np.ndarray, camera: Camera, here: Pose, there: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the pixels of one eye lie in another: columns, rows and depth there, each (H, W)."""
    height, width = depth.shape
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([column, row, np.ones_like(row)]).reshape(3, -1)
    points = np.linalg.inv(camera.matrix()) @ pixels * depth.reshape(1, -1)
    points = np.vstack([points, np.ones((1, points.shape[1]))])
    seen = (np.linalg.inv(there.matrix()) @ here.matrix() @ points)[:3]
    plane = camera.matrix() @ seen
    with np.errstate(divide="ignore", invalid="ignore"):
        return tuple(values.reshape(depth.shape) for values in (plane[0] / plane[2], plane[1] / plane[2], seen[2]))


def sampled(image: np.ndarray, column: np.ndarray, row: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Read an image at pixel coordinates, the border repeated."""
    maps = [np.nan_to_num(position).clip(-9, 9999).astype(np.float32) for position in (column, row)]
    return cv2.remap(image, *maps, how, borderMode=cv2.BORDER_REPLICATE)


def view_errors(
    renderer: Renderer,
    right: bool = False,
    noise: bool = False,
    scale: float = 1.0,
    frame: int = 2,
    everywhere: bool = False,
) -> tuple[float, float]:
    """Mean photometric error of a warped view and of the unwarped one, over still pixels seen by both.

    Args:
        renderer: the scene.
        right: compare with the right camera instead of the next frame.
        noise: with exposure and sensor noise.
        scale: factor on the true depth.
        frame: the target frame.
        everywhere: all pixels with a depth below 80 m instead of those whose depth agrees within 5 %.
    """
    later = frame if right else frame + 1
    seeds = (np.random.default_rng(1), np.random.default_rng(2)) if noise else (None, None)
    target = renderer.image(frame, noise=seeds[0]).astype(np.float32) / 255
    source = renderer.image(later, right=right, noise=seeds[1]).astype(np.float32) / 255
    truth, other = renderer.truth(frame), renderer.truth(later, right=right)
    here, there = renderer.pose(frame), renderer.pose(later, right=right)
    column, row, depth = project(truth.depth * scale, renderer.camera, here, there)
    warped = sampled(source, column, row)
    height, width = truth.depth.shape
    used = (truth.depth > 0) & (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    if everywhere:
        used &= truth.depth < 80
    else:
        found = sampled(other.depth, column, row, cv2.INTER_NEAREST)
        used &= ~truth.moving & (np.abs(found - depth) < 0.05 * depth)
    return float(photometric_error(target, warped)[used].mean()), float(photometric_error(target, source)[used].mean())
