"""The sky: a gradient by elevation and drifting clouds, both functions of the direction alone."""

from __future__ import annotations

import numpy as np

from .texture import octave
from .view import View

CLOUDS = ((0.7, 0.5), (0.33, 0.3), (0.15, 0.2))  # size of an octave on the plane of the clouds, weight
CLOUD_BASE = 0.12  # keeps that plane finite at the horizon, radians
WHITE = (0.93, 0.94, 0.96)


def sky_colour(view: View, pixels: np.ndarray) -> np.ndarray:
    """Colour of the rays of these flat pixel numbers, (3, n) float32 in 0..1."""
    light = view.scene.light
    row, column = view.split(pixels)
    level = np.sqrt(view.rays.right * view.rays.right + view.rays.forward * view.rays.forward)[column]
    elevation = np.maximum(np.arctan(-view.rays.down[row] / level), 0)
    azimuth = np.arctan2(view.world_x, view.world_z)[column]
    plane = 1 / (elevation + np.float32(CLOUD_BASE))
    u, v = np.float32(1.5) * azimuth * plane + np.float32(view.scene.texture[0]), 2 * plane
    fp = np.float32(2 * view.rays.pitch[1]) * plane * plane
    cover = np.zeros_like(u)
    for number, (size, weight) in enumerate(CLOUDS):
        cover += weight * octave(u, v, fp, size, 97.0 * number)
    cloud = np.clip(0.9 * (0.9 * cover + light.clouds - 0.35), 0, 0.85) * np.clip(9 * elevation, 0, 1)
    near_horizon = np.exp(-5 * elevation)
    colour = np.empty((3, pixels.size), np.float32)
    for channel in range(3):
        blue = light.zenith[channel] + (light.horizon[channel] - light.zenith[channel]) * near_horizon
        colour[channel] = blue + (WHITE[channel] - blue) * cloud
    return colour
