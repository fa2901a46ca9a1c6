"""Looks of the ground plane: carriageway with its markings, parking strips, pavements and grass."""

from __future__ import annotations

import numpy as np

from .primitives import Label
from .road import Road
from .texture import cells, pulse, pulses, step

GRASS = (0.32, 0.42, 0.18)
SLAB_TINT = (1.0, 0.97, 0.92)
PAINT = 0.84
KERB, KERB_GREY = 0.16, 0.62  # width in metres, albedo
STRIP_SHADE = 0.86  # parking strips are a little darker than the carriageway
DASH, DASH_PERIOD = 3.2, 9.0
CONTRAST_STONE, CONTRAST_GRASS = 0.14, 0.34
CROSSING_LENGTH = 3.6


def ground_albedo(
    road: Road, s: np.ndarray, d: np.ndarray, fp_s: np.ndarray, fp_d: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Albedo without texture noise, and the amplitude of that noise.

    Args:
        road: cross-section and markings.
        s: street coordinate along, metres, flat float32 (n,) as in `texture`.
        d: street coordinate across.
        fp_s: footprint along, metres.
        fp_d: footprint across.

    Returns:
        (3, n) RGB albedo in 0..1 and (n,) amplitude.
    """
    kerb, wall, distance = _borders(road, d)
    on_road, on_strip, on_stone = (1 - step(distance - edge, fp_d) for edge in (road.half, kerb, wall))
    carriageway = _carriageway(road, s, d, distance, fp_s, fp_d)
    strip = STRIP_SHADE * road.markings.asphalt * (1 + 0.07 * cells(s, d, 0.5, 0.5, fp_s, fp_d))
    slabs = _slabs(road, s, d, fp_s, fp_d)
    slabs += (KERB_GREY - slabs) * pulse(distance - kerb - KERB / 2, KERB, fp_d)
    patches = 1 + 0.10 * cells(s, d, 1.3, 1.1, fp_s, fp_d)
    albedo = np.empty((3, s.size), np.float32)
    for channel in range(3):
        paved = slabs * SLAB_TINT[channel]
        paved += (strip - paved) * on_strip
        paved += (carriageway - paved) * on_road
        grass = GRASS[channel] * patches
        albedo[channel] = grass + (paved - grass) * on_stone
    return albedo, CONTRAST_GRASS + (CONTRAST_STONE - CONTRAST_GRASS) * on_stone


def ground_labels(road: Road, d: np.ndarray) -> np.ndarray:
    """Cityscapes ids of ground points at street coordinate d, uint8."""
    kerb, wall, distance = _borders(road, d)
    labels = np.full(d.shape, Label.TERRAIN, np.uint8)
    labels[distance < wall] = Label.PAVEMENT
    labels[distance < kerb] = Label.PARKING
    labels[distance < road.half] = Label.ROAD
    return labels


def _borders(road: Road, d: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outer edges of parking strip and pavement on the side of each point, and its distance from the centre line."""
    left, right = road.left.edges(road.half), road.right.edges(road.half)
    is_right = d > 0
    kerb, wall = (np.where(is_right, np.float32(right[i]), np.float32(left[i])) for i in (0, 1))
    return kerb, wall, np.abs(d)


def _carriageway(
    road: Road, s: np.ndarray, d: np.ndarray, distance: np.ndarray, fp_s: np.ndarray, fp_d: np.ndarray
) -> np.ndarray:
    marks = road.markings
    grey = marks.asphalt * (1 + 0.10 * cells(s, d, 6.5, 2.1, fp_s, fp_d))
    lane = distance - road.half / 2
    grey *= 1 - 0.10 * pulse(np.abs(lane) - 0.75, 0.45, fp_d)  # wheel tracks
    paint = pulse(d, 0.14, fp_d) * pulses(s + marks.phase, DASH_PERIOD, DASH / DASH_PERIOD, fp_s)
    paint += pulse(distance - road.half + 0.25, 0.12, fp_d)
    if marks.crossing > 0:
        along = s - marks.crossing
        paint *= 1 - pulse(along - CROSSING_LENGTH / 2, CROSSING_LENGTH + 4, fp_s)
        zebra = pulse(along - CROSSING_LENGTH / 2, CROSSING_LENGTH, fp_s) * pulses(d, 1.0, 0.5, fp_d)
        stop = pulse(along + 1.4, 0.4, fp_s) * step(d, fp_d) * step(road.half - 0.2 - d, fp_d)
        paint += zebra * step(road.half - 0.1 - distance, fp_d) + stop
    return grey + (PAINT - grey) * np.clip(paint, 0, 1)


def _slabs(road: Road, s: np.ndarray, d: np.ndarray, fp_s: np.ndarray, fp_d: np.ndarray) -> np.ndarray:
    size = np.float32(0.9)
    grey = road.markings.slabs * (1 + 0.07 * cells(s, d, size, size, fp_s, fp_d))
    joint = 1 - (1 - pulses(s, size, 0.035, fp_s)) * (1 - pulses(d, size, 0.035, fp_d))
    return grey * (1 - 0.35 * joint)
