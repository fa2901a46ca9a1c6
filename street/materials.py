"""Looks of the solid surfaces: each material turns a position on its face into an albedo.

A function here gets a `Surface`, the rays that hit one material, and returns (3, n) RGB albedo in 0..1 without
texture noise.  Positions are relative to the shape: `u` runs horizontally from the middle of the face, `v` is the
height above the ground, both in metres, with the footprints of the rays along them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .primitives import Material
from .raycast import BACK, FRONT, LEFT, RIGHT, TOP
from .texture import cells, pulse, pulses, step

GLASS = (0.62, 0.72, 0.82)  # colour of glass as a multiple of its brightness
FRAME = 0.8
BASE, CORNICE = 0.55, 0.45  # bands without windows at the foot and the top of a house, metres


@dataclass(frozen=True)
class Surface:
    """Rays on one material; all arrays (n,) but `colour` (3, n) and `pattern` (n, 4)."""

    u: np.ndarray
    v: np.ndarray
    fp_u: np.ndarray
    fp_v: np.ndarray
    face: np.ndarray
    half: np.ndarray  # half the width of the face, metres
    top: np.ndarray  # height of the upper edge, metres
    colour: np.ndarray
    pattern: np.ndarray
    serial: np.ndarray


def blend(under: np.ndarray, over: np.ndarray | float, cover: np.ndarray) -> np.ndarray:
    """Paint `over` on `under` where `cover` (0..1) says so."""
    return under + (over - under) * cover


def tinted(brightness: np.ndarray | float, tone: tuple[float, float, float]) -> np.ndarray:
    """(3, n) or (3, 1) colour of the given brightness."""
    return np.array(tone, np.float32)[:, None] * brightness


def _house(at: Surface) -> np.ndarray:
    """Rows of framed windows with a bar in the middle, no two equally bright; darker base and cornice."""
    period, share, storey, dark = at.pattern.T
    height = at.v - BASE
    rows, across = np.floor((at.top - BASE - CORNICE) / storey), np.floor(2 * at.half / period)
    # An odd number of windows puts one in the middle of the face, an even number a pier.
    u, v = at.u + np.where(across % 2 == 0, period / 2, 0), height - storey / 2
    inside = pulse(at.u, across * period, at.fp_u) * step(height, at.fp_v) * step(rows * storey - height, at.fp_v)
    glass = inside * pulses(u, period, share, at.fp_u) * pulses(v, storey, 0.5, at.fp_v)
    framed = inside * pulses(u, period, share + 0.2 / period, at.fp_u) * pulses(v, storey, 0.5 + 0.2 / storey, at.fp_v)
    bar = glass * pulses(u, period, 0.07 / period, at.fp_u)
    # Without a brightness of its own each window would match the next one a period away.
    window = cells(u + period * (0.5 + np.floor(5 * at.serial)), v + storey / 2, period, storey, at.fp_u, at.fp_v)
    wall = at.colour * (1 - 0.22 * step(0.45 - at.v, at.fp_v)) * (1 - 0.18 * step(at.v - at.top + 0.35, at.fp_v))
    wall = blend(wall, FRAME, framed - glass + bar)
    return blend(wall, tinted(dark + 0.10 + 0.16 * window, GLASS), glass - bar)


def _brick(at: Surface) -> np.ndarray:
    width, height = at.pattern[:, 0], at.pattern[:, 1]
    shift = np.where(np.floor(at.v / height) % 2 == 0, 0, width / 2)
    tint = cells(at.u + shift, at.v, width, height, at.fp_u, at.fp_v)
    joint = 1 - (1 - pulses(at.v, height, 0.13, at.fp_v)) * (1 - 0.5 * pulses(at.u, width, 0.05, at.fp_u))
    wall = blend(at.colour * (1 + 0.16 * tint), tinted(0.58, (1, 0.96, 0.9)), joint * 0.8)
    return blend(wall, tinted(0.5, (1, 0.97, 0.92)), step(at.v - at.top + 0.12, at.fp_v))


def _slats(at: Surface) -> np.ndarray:
    period, share = at.pattern[:, 0], at.pattern[:, 1]
    slats = pulses(at.u, period, share, at.fp_u)
    rails = pulse(at.v - 0.3 * at.top, 0.09, at.fp_v) + pulse(at.v - 0.8 * at.top, 0.09, at.fp_v)
    tint = 1 + 0.12 * cells(at.u, at.v, period, 50.0, at.fp_u, at.fp_v)
    return at.colour * tint * (0.28 + 0.72 * np.maximum(slats, np.clip(rails, 0, 1)))


def _body(at: Surface) -> np.ndarray:
    """Car body: lamps in front and behind, number plate, dark sill, door lines on the flanks."""
    ends, flanks = (at.face == FRONT) | (at.face == BACK), (at.face == LEFT) | (at.face == RIGHT)
    front = at.face == FRONT
    paint = at.colour * (1 - 0.55 * step(0.32 - at.v, at.fp_v) * (at.face != TOP))
    doors = pulse(np.abs(at.u - 0.1) - 0.55, 0.03, at.fp_u) + pulse(at.u - 0.1, 0.03, at.fp_u)
    paint = blend(paint, paint * np.float32(0.45), np.clip(doors, 0, 1) * flanks)
    lamps = pulse(np.abs(at.u) - at.half + 0.26, 0.34, at.fp_u) * pulse(at.v - 0.66, 0.16, at.fp_v) * ends
    lamp = np.where(front, tinted(0.92, (1, 1, 0.94)), tinted(0.72, (1, 0.14, 0.10)))
    paint = blend(paint, lamp, lamps)
    grille = pulse(at.u, 0.9, at.fp_u) * pulse(at.v - 0.62, 0.12, at.fp_v) * front
    plate = pulse(at.u, 0.52, at.fp_u) * pulse(at.v - 0.45, 0.12, at.fp_v) * ends
    return blend(blend(paint, tinted(0.1, (1, 1, 1)), grille), tinted(0.85, (1, 1, 0.96)), plate)


def _cabin(at: Surface) -> np.ndarray:
    """Glass band between two heights; a third number > 0 cuts it into the windows of a bus."""
    low, high, windows = at.pattern[:, 0], at.pattern[:, 1], at.pattern[:, 2]
    sides = at.face != TOP
    band = step(at.v - low, at.fp_v) * step(high - at.v, at.fp_v) * step(at.half - 0.09 - np.abs(at.u), at.fp_u)
    flank = (at.face == LEFT) | (at.face == RIGHT)
    pillars = np.where(windows > 0, pulses(at.u, 1.4, 0.1, at.fp_u), pulse(at.u, 0.08, at.fp_u)) * flank
    # Vans and lorries are closed behind the driver: pattern[2] == 0 and a long flank.
    closed = flank & (windows == 0) & (at.half > 2.2) & (at.u < at.half - 1.6)
    return blend(at.colour, tinted(0.13, GLASS), band * (1 - pillars) * sides * ~closed)


def _wheel(at: Surface) -> np.ndarray:
    radius = np.hypot(at.u, at.v - 0.31)
    fp = np.maximum(at.fp_u, at.fp_v)
    disc = step(0.19 - radius, fp) * ((at.face == LEFT) | (at.face == RIGHT))
    hub = step(0.06 - radius, fp) * disc
    return blend(blend(at.colour, 0.50, disc), 0.3, hub)


def _signal(at: Surface) -> np.ndarray:
    """Three round lamps one above the other on the faces along the street, one of them burning."""
    fp = np.maximum(at.fp_u, at.fp_v)
    burning = at.pattern[:, 0]
    paint, shown = at.colour, (at.face == FRONT) | (at.face == BACK)
    for lamp, tone in enumerate(((0.95, 0.12, 0.10), (0.95, 0.66, 0.10), (0.15, 0.85, 0.40))):
        disc = step(0.10 - np.hypot(at.u, at.v - (3.2 - 0.3 * lamp)), fp) * shown
        paint = blend(paint, tinted(np.where(burning == lamp, 1.0, 0.25), tone), disc)
    return paint


def _clothes(at: Surface) -> np.ndarray:
    trousers = at.pattern[:, :3].T
    paint = blend(at.colour, trousers, step(at.pattern[:, 3] - at.v, at.fp_v))
    return blend(paint, tinted(0.06, (1, 1, 1)), step(0.1 - at.v, at.fp_v))


def _plate(at: Surface) -> np.ndarray:
    """Sign: a coloured plate with a light border on its back and front faces."""
    middle = at.top - at.half
    inset = np.minimum(at.half - np.abs(at.u), at.half - np.abs(at.v - middle))
    fp = np.maximum(at.fp_u, at.fp_v)
    paint = blend(tinted(0.85, (1, 1, 1)), at.colour, step(inset - 0.06, fp))
    symbol = pulse(at.u, 0.5 * at.half, at.fp_u) * pulse(at.v - middle, 1.1 * at.half, at.fp_v)
    return np.where(at.face == BACK, blend(paint, 0.85, symbol), 0.45)


LOOKS = {
    Material.HOUSE: _house,
    Material.BRICK: _brick,
    Material.SLATS: _slats,
    Material.BODY: _body,
    Material.CABIN: _cabin,
    Material.WHEEL: _wheel,
    Material.SIGNAL: _signal,
    Material.CLOTHES: _clothes,
    Material.PLATE: _plate,
}
