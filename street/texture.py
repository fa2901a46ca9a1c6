"""Band-limited textures: every detail fades to its mean before it gets finer than the rays that sample it.

All functions take flat float32 arrays, one entry per ray, whose length is a multiple of `LINE`; positions and
footprints are in metres, a footprint being the spacing of neighbouring rays on the surface.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

LINE = 256  # arrays are reshaped to rows of this length for the image look-up
CHUNK = 32768  # rays worked on at once, so that the buffers stay in the processor's cache
TILE = 512  # texels per side of the periodic tiles
ISOTROPIC = ((0.035, 0.75), (0.09, 0.9), (0.22, 1.0), (0.55, 1.0), (1.4, 0.9), (4.0, 0.8))  # metres per texel, weight
STRETCHED = ((0.07, 0.8), (0.16, 0.9), (0.4, 1.0), (1.0, 1.0))  # the same across; STRETCH times longer along u
STRETCH = 8.0
STRETCHED_SHARE = 0.8
GAIN = 0.6  # weaker texture looks cleaner, but networks no longer learn from it reliably


@lru_cache(maxsize=1)
def noise_tile() -> np.ndarray:
    """Smooth periodic noise of unit variance, clipped to +-2.5; (TILE + 1, TILE + 1), the rim repeats the start."""
    white = np.random.default_rng(0).standard_normal((TILE, TILE))
    smooth = cv2.GaussianBlur(np.pad(white, 8, mode="wrap"), (0, 0), 1.0)[8:-8, 8:-8]
    smooth = np.clip((smooth - smooth.mean()) / smooth.std(), -2.5, 2.5)
    return np.pad(smooth, (0, 1), mode="wrap").astype(np.float32)


@lru_cache(maxsize=1)
def cell_tile() -> np.ndarray:
    """One independent number in -1..1 per cell; (TILE + 1, TILE + 1), periodic like the noise."""
    cells = np.random.default_rng(1).uniform(-1, 1, (TILE, TILE))
    return np.pad(cells, (0, 1), mode="wrap").astype(np.float32)


@lru_cache(maxsize=1)
def _offsets() -> np.ndarray:
    return np.random.default_rng(2).uniform(0, TILE, (len(ISOTROPIC) + len(STRETCHED), 2)).astype(np.float32)


def _wrapped(position: np.ndarray) -> np.ndarray:
    return position - TILE * np.floor(position * np.float32(1 / TILE))


def _look_up(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear periodic look-up at (u, v) texels."""
    u, v = _wrapped(u).reshape(-1, LINE), _wrapped(v).reshape(-1, LINE)
    return cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel()


def _fade(ratio: np.ndarray) -> np.ndarray:
    """Weight of a detail by its size over the footprint: 0 below 0.7, 1 above 1.5."""
    return np.clip((ratio - 0.7) * 1.25, 0, 1)


def noise(u: np.ndarray, v: np.ndarray, fp_u: np.ndarray, fp_v: np.ndarray, streaks: bool = True) -> np.ndarray:
    """Texture of several octaves, mean 0, about unit spread; the finer ones only where the footprint allows.

    Args:
        u: position along the stretched direction.
        v: position across it.
        fp_u: footprint along u.
        fp_v: footprint along v.
        streaks: with the octaves stretched along u, which survive at grazing angles.
    """
    out = np.empty_like(u)
    for start in range(0, u.size, CHUNK):
        part = slice(start, start + CHUNK)
        out[part] = _noise(u[part], v[part], fp_u[part], fp_v[part], streaks)
    return out


def octave(u: np.ndarray, v: np.ndarray, fp: np.ndarray, size: float, shift: float) -> np.ndarray:
    """A single octave of noise with texels of this size, mean 0, about unit spread."""
    scale = np.float32(1 / size)
    return _fade(size / fp) * _look_up(noise_tile(), u * scale + np.float32(shift), v * scale)


def _noise(u: np.ndarray, v: np.ndarray, fp_u: np.ndarray, fp_v: np.ndarray, streaks: bool) -> np.ndarray:
    total = np.zeros_like(u)
    fine_u, fine_v = 1 / fp_u, 1 / fp_v
    fine = np.minimum(fine_u, fine_v)
    offsets = iter(_offsets())
    for size, weight in ISOTROPIC:
        _add_octave(total, weight * GAIN, _fade(fine * size), u, v, size, size, next(offsets))
    for size, weight in STRETCHED if streaks else ():
        fade = _fade(fine_v * size) * _fade(fine_u * (STRETCH * size))
        _add_octave(total, weight * GAIN * STRETCHED_SHARE, fade, u, v, STRETCH * size, size, next(offsets))
    return total


def _add_octave(
    total: np.ndarray,
    weight: float,
    fade: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    size_u: float,
    size_v: float,
    offset: np.ndarray,
) -> None:
    alive = np.flatnonzero(fade)
    if not alive.size:
        return
    if alive.size > 0.8 * fade.size:
        total += fade * weight * _look_up(noise_tile(), u * (1 / size_u) + offset[0], v * (1 / size_v) + offset[1])
        return
    alive = padded(alive)
    value = _look_up(noise_tile(), u[alive] * (1 / size_u) + offset[0], v[alive] * (1 / size_v) + offset[1])
    total[alive] += fade[alive] * weight * value


def padded(index: np.ndarray) -> np.ndarray:
    """An index list lengthened to a multiple of `LINE` by repeating its last entry."""
    return np.concatenate([index, np.full(-index.size % LINE, index[-1] if index.size else 0, index.dtype)])


def pulse(x: np.ndarray, width: np.ndarray | float, fp: np.ndarray) -> np.ndarray:
    """A bar of `width` around 0, box-filtered with the footprint: coverage in 0..1."""
    slope = np.maximum(np.minimum(width, fp), np.float32(1e-6))
    return np.clip(((width + fp) / 2 - np.abs(x)) / slope, 0, 1) * np.minimum(1, width / fp)


def step(x: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """0 where x < 0 and 1 where x > 0, box-filtered with the footprint."""
    return np.clip(x / fp + 0.5, 0, 1)


def pulses(x: np.ndarray, period: np.ndarray | float, share: np.ndarray | float, fp: np.ndarray) -> np.ndarray:
    """Bars around every multiple of `period` covering `share` of it, box-filtered: coverage in 0..1."""
    width = fp / period
    centre = x / period + share / 2  # bars start at the integers
    low, high = centre - width / 2, centre + width / 2
    low_floor, high_floor = np.floor(low), np.floor(high)
    whole = (high_floor - low_floor) * share
    return (whole + np.minimum(high - high_floor, share) - np.minimum(low - low_floor, share)) / width


def cells(
    u: np.ndarray,
    v: np.ndarray,
    size_u: np.ndarray | float,
    size_v: np.ndarray | float,
    fp_u: np.ndarray,
    fp_v: np.ndarray,
) -> np.ndarray:
    """One random number in -1..1 per cell [i, i + 1) x [j, j + 1) of the grid, box-filtered; 0 at distance."""
    value = _look_up(cell_tile(), _cell_position(u, size_u, fp_u), _cell_position(v, size_v, fp_v))
    return value * _fade(size_u / fp_u) * _fade(size_v / fp_v)


def _cell_position(x: np.ndarray, size: np.ndarray | float, fp: np.ndarray) -> np.ndarray:
    # Between the centres of two cells the blend moves from one to the other within one footprint.
    scaled = x / size - 0.5
    lower = np.floor(scaled)
    return lower + np.clip((scaled - lower - 0.5) * (size / fp) + 0.5, 0, 1)
