"""Deferred shading: one colour per ray from what it hit, where, and the light of the scene."""

from __future__ import annotations

import numpy as np

from .ground import ground_albedo
from .raycast import GROUND, SKY
from .scene import Light
from .shadow import GroundShadow
from .sky import sky_colour
from .solids import solid_albedo
from .texture import LINE, noise, padded
from .view import Points, View

FULL_LIGHT = 1.08
SHADOW_DEPTH = 0.75  # share of the direct light a shadow takes away
COVER_DEPTH = 0.55  # share of the ambient light missing under a vehicle


def shade(view: View, shadow: GroundShadow) -> np.ndarray:
    """Colour every ray.

    Args:
        view: the cast rays, H rows and W columns.
        shadow: ground shadows of the shapes that stay.

    Returns:
        (3, H, W) float32 RGB, 0..1, before exposure and the response curve.
    """
    code = view.hits.code.ravel()
    image = np.empty((3, code.size), np.float32)
    sky, ground, solid = (np.flatnonzero(mask) for mask in (code == SKY, code == GROUND, code >= 0))
    if sky.size:
        image[:, sky] = sky_colour(view, padded(sky))[:, : sky.size]
    if ground.size:
        image[:, ground] = _ground(view, shadow, padded(ground))[:, : ground.size]
    if solid.size:
        image[:, solid] = _solid(view, padded(solid))[:, : solid.size]
    return image.reshape(3, *view.hits.code.shape)


def _hazed(light: Light, colour: np.ndarray, length: np.ndarray) -> np.ndarray:
    clear = np.exp(length * np.float32(-1 / light.haze))
    for channel in range(3):
        colour[channel] = light.horizon[channel] + (colour[channel] - light.horizon[channel]) * clear
    return colour


def _direct(light: Light, cosine: np.ndarray | float) -> np.ndarray:
    """Sunlight on a surface whose normal makes this cosine with the sun; slightly negative on the far side."""
    return (FULL_LIGHT - light.ambient) * np.maximum(cosine, 0) + 0.1 * cosine


def _solid(view: View, pixels: np.ndarray) -> np.ndarray:
    at = view.points(pixels)
    colour, cosine = solid_albedo(view, pixels, at)
    light = view.scene.light
    colour *= light.ambient + _direct(light, cosine)
    return _hazed(light, colour, at.length)


def _ground(view: View, shadow: GroundShadow, pixels: np.ndarray) -> np.ndarray:
    at, light, texture = view.points(pixels), view.scene.light, view.scene.texture
    s, d = view.street(at)
    fp_s, fp_d = _ground_footprints(view, at, s, view.rays.down[view.split(pixels)[0]])
    colour, contrast = ground_albedo(view.scene.road, s, d, fp_s, fp_d)
    grain = noise(s + np.float32(texture[0]), d + np.float32(texture[1]), fp_s, fp_d)
    shaded, covered = shadow.look_up(view.movers, at.x.reshape(-1, LINE), at.z.reshape(-1, LINE))
    brightness = light.ambient * (1 - COVER_DEPTH * covered.ravel())
    brightness += _direct(light, -light.sun[1]) * (1 - SHADOW_DEPTH * shaded.ravel())
    colour *= (1 + contrast * grain) * brightness
    return _hazed(light, colour, at.length)


def _ground_footprints(view: View, at: Points, s: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spacing of the rays on the ground along and across the street, metres."""
    across = at.length * np.float32(view.rays.pitch[0])
    along = at.length * np.float32(view.rays.pitch[1]) / down
    heading = s * np.float32(view.scene.road.arc.bend)
    sin, cos = np.sin(heading), np.cos(heading)
    norm = np.sqrt(at.ray_x * at.ray_x + at.ray_z * at.ray_z)
    skew = np.abs(at.ray_x * cos - at.ray_z * sin) / norm  # sine of the angle between ray and street
    straight = np.abs(at.ray_x * sin + at.ray_z * cos) / norm
    return along * straight + across * skew, across * straight + along * skew
