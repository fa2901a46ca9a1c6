"""Height of a camera above the ground that its depth shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TRIES, SAMPLES = 256, 4000  # planes that are tried, and pixels that judge them
NEAR_PLANE = 0.05  # relative distance in inverse depth within which a pixel belongs to the plane
STEEPEST = np.cos(np.radians(35))  # of the angle between the plane's normal and the image's vertical axis
LEAST_SHARE, LEAST_PIXELS = 0.3, 100
LOWER = 0.4  # share of the rows that are looked at where nobody says what is road


@dataclass(frozen=True)
class Ground:
    """A plane below the camera: its distance in units of the depth, and the share of the pixels that lie in it."""

    height: float
    share: float


def fit_ground(
    depth: np.ndarray, focal: tuple[float, float], centre: tuple[float, float], where: np.ndarray | None
) -> Ground | None:
    """The plane that most pixels of the ground lie in; None where they lie in none.

    Inverse depth of a plane is linear in the pixel: 1/z = n . (x, y, 1) / d, so the distance d is 1 / |coefficients|.

    Args:
        depth: (h, w) float32, > 0.
        focal: fx, fy in pixels of this map.
        centre: cx, cy likewise.
        where: (h, w) bool, pixels of the ground; None, or too few: the lower part of the image.
    """
    height, width = depth.shape
    if where is None or where.sum() < max(LEAST_PIXELS, 0.01 * depth.size):
        where = np.zeros(depth.shape, bool)
        where[int(height * (1 - LOWER)) :] = True
    rows, columns = np.nonzero(where)
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(rows), min(len(rows), SAMPLES), replace=False)
    rows, columns = rows[chosen], columns[chosen]
    rays = np.stack([(columns - centre[0]) / focal[0], (rows - centre[1]) / focal[1], np.ones(len(rows))], axis=1)
    inverse = 1 / depth[rows, columns].astype(np.float64)
    plane = _most_agreed(rays, inverse, rng)
    if plane is None:
        return None
    inside = _near(rays @ plane, inverse)
    plane = np.linalg.lstsq(rays[inside], inverse[inside], rcond=None)[0]
    if not _may_be_ground(plane):
        return None  # a wall, of which noise made some triples level
    share = float(_near(rays @ plane, inverse).mean())
    return Ground(float(1 / np.linalg.norm(plane)), share) if share >= LEAST_SHARE else None


def _most_agreed(rays: np.ndarray, inverse: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Of planes through three pixels each the one that most others lie in, among those that may be ground."""
    triples = rng.integers(0, len(rays), (TRIES, 3))
    corners = rays[triples]  # (TRIES, 3, 3)
    solvable = np.abs(np.linalg.det(corners)) > 1e-9
    if not solvable.any():
        return None
    planes = np.linalg.solve(corners[solvable], inverse[triples[solvable]][..., None])[..., 0]
    planes = planes[_may_be_ground(planes)]
    if not len(planes):
        return None
    votes = _near(planes @ rays.T, inverse).sum(1)
    return planes[votes.argmax()]


def _may_be_ground(planes: np.ndarray) -> np.ndarray:
    """Which of the planes (..., 3) are level enough; y points down, to the ground."""
    return planes[..., 1] >= STEEPEST * np.linalg.norm(planes, axis=-1)


def _near(found: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    return np.abs(found - inverse) <= NEAR_PLANE * inverse
