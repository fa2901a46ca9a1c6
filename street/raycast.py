"""Separable ray casting: what each ray of a bundle meets first.

Poses and shapes turn about the vertical axis only, so where a ray enters and leaves the ground plan of a shape
depends on its column alone; the row then decides between side, top, bottom and miss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import Pose, Rays
from .primitives import Kind

NEAR, FAR = 0.3, 250.0  # ray lengths, metres
TINY = np.float32(1e-8)
GROUND, SKY = -1, -2  # codes of what is no shape
FACES = 8  # code = FACES * row of the shape table + face
BACK, FRONT, LEFT, RIGHT, TOP, BOTTOM, ROUND, BLOB = range(FACES)


@dataclass(frozen=True)
class Hits:
    """First hits of a bundle: `length` (H, W) float32 ray length, inf where none; `code` (H, W) int32."""

    length: np.ndarray
    code: np.ndarray


@dataclass(frozen=True)
class _Columns:
    """Ground plans seen by the columns: entry and exit length and the face entered, each (N, W), 0 width = missed."""

    enter: np.ndarray
    leave: np.ndarray
    face: np.ndarray
    qx: np.ndarray  # ray and origin in the shape's own axes, in units of its half extents
    qz: np.ndarray
    ox: np.ndarray
    oz: np.ndarray


def cast(table: np.ndarray, pose: Pose, rays: Rays) -> Hits:
    """Find the first shape, or the ground, along every ray.

    Args:
        table: (N,) array of `primitives.PRIMITIVE`.
        pose: the eye.
        rays: its rays, (H rows, W columns).

    Returns:
        Hits closer than `FAR`; everything else is sky.
    """
    down = rays.down
    with np.errstate(divide="ignore"):
        ground = np.where(down > 0, np.float32(-pose.y) / down, np.float32(np.inf))
    ground[ground > FAR] = np.inf
    length = np.repeat(ground[:, None], rays.right.size, axis=1)
    code = np.where(np.isfinite(length), np.int32(GROUND), np.int32(SKY))
    seen = _in_view(table, pose, rays)
    if seen.size:
        _paint_all(table[seen], seen, pose, rays, length, code)
    return Hits(length, code)


def _in_view(table: np.ndarray, pose: Pose, rays: Rays) -> np.ndarray:
    """Rows whose bounding circle touches the viewing wedge."""
    cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
    dx, dz = table["x"] - pose.x, table["z"] - pose.z
    across, along = dx * cos - dz * sin, dx * sin + dz * cos
    radius = np.hypot(table["half_x"], table["half_z"])
    inside = (along + radius > NEAR) & (along - radius < FAR)
    for edge, sign in ((0, -1), (-1, 1)):
        right, forward = rays.right[edge], rays.forward[edge]
        norm = np.hypot(right, forward)
        inside &= sign * (across * forward - along * right) / norm < radius
    return np.flatnonzero(inside)


def _columns(table: np.ndarray, pose: Pose, rays: Rays) -> _Columns:
    """Cut every column with every ground plan: a slab test for boxes, a quadratic for round shapes."""
    world_x, world_z = rays.world(pose.yaw)
    cos, sin = np.cos(table["yaw"])[:, None], np.sin(table["yaw"])[:, None]
    half_x, half_z = table["half_x"][:, None], table["half_z"][:, None]
    dx = (pose.x - table["x"].astype(np.float64)).astype(np.float32)[:, None]
    dz = (pose.z - table["z"].astype(np.float64)).astype(np.float32)[:, None]
    qx, qz = (world_x * cos - world_z * sin) / half_x, (world_x * sin + world_z * cos) / half_z
    ox, oz = (dx * cos - dz * sin) / half_x, (dx * sin + dz * cos) / half_z
    enter, leave = np.empty_like(qx), np.empty_like(qx)
    face = np.empty(qx.shape, np.int32)
    box = table["kind"] == Kind.BOX
    enter[box], leave[box], face[box] = _slabs(qx[box], qz[box], ox[box], oz[box])
    enter[~box], leave[~box] = _ellipse(qx[~box], qz[~box], ox[~box], oz[~box])
    face[~box] = np.where(table["kind"][~box] == Kind.CYLINDER, ROUND, BLOB)[:, None]
    return _Columns(enter, leave, face, qx, qz, ox, oz)


def _slabs(qx: np.ndarray, qz: np.ndarray, ox: np.ndarray, oz: np.ndarray) -> tuple[np.ndarray, ...]:
    # A ray parallel to a face is tilted by a hair, which spares the division by zero.
    inverse_x, inverse_z = 1 / np.where(np.abs(qx) < TINY, TINY, qx), 1 / np.where(np.abs(qz) < TINY, TINY, qz)
    middle_x, middle_z = -ox * inverse_x, -oz * inverse_z
    reach_x, reach_z = np.abs(inverse_x), np.abs(inverse_z)
    enter_x, enter_z = middle_x - reach_x, middle_z - reach_z
    leave = np.minimum(middle_x + reach_x, middle_z + reach_z)
    by_x = enter_x > enter_z
    face = np.where(by_x, np.where(qx > 0, LEFT, RIGHT), np.where(qz > 0, BACK, FRONT))
    return np.where(by_x, enter_x, enter_z), leave, face


def _ellipse(qx: np.ndarray, qz: np.ndarray, ox: np.ndarray, oz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    square, mixed, rest = qx * qx + qz * qz, qx * ox + qz * oz, ox * ox + oz * oz - 1
    inside = mixed * mixed - square * rest
    root = np.sqrt(np.maximum(inside, 0))
    hit = inside > 0
    return np.where(hit, (-mixed - root) / square, 1), np.where(hit, (-mixed + root) / square, 0)


def _paint_all(
    table: np.ndarray, rows: np.ndarray, pose: Pose, rays: Rays, length: np.ndarray, code: np.ndarray
) -> None:
    """Draw the shapes front to back into the length and code buffers."""
    columns = _columns(table, pose, rays)
    crossed = (columns.enter < columns.leave) & (columns.leave > NEAR) & (columns.enter < FAR)
    start = crossed.argmax(1)
    stop = crossed.shape[1] - crossed[:, ::-1].argmax(1)
    nearest = np.where(crossed, columns.enter, np.inf).min(1).clip(NEAR)
    farthest = np.where(crossed, columns.leave, 0).max(1).clip(NEAR)
    above, below = table["top"] - pose.y, table["bottom"] - pose.y  # vertical offsets from the eye
    first = np.searchsorted(rays.down, np.minimum(above / nearest, above / farthest), "left")
    last = np.searchsorted(rays.down, np.maximum(below / nearest, below / farthest), "right")
    visible = crossed.any(1) & (first < last)
    kinds, box, cylinder = table["kind"].tolist(), int(Kind.BOX), int(Kind.CYLINDER)
    for i in np.argsort(nearest, kind="stable"):
        if not visible[i]:
            continue
        block = (slice(first[i], last[i]), slice(start[i], stop[i]))
        depth = length[block]
        if depth.max() <= nearest[i]:
            continue
        paint = _paint_box if kinds[i] == box else _paint_side if kinds[i] == cylinder else _paint_blob
        paint(columns, i, block[1], rays.down[block[0], None], above[i], below[i], depth, code[block], FACES * rows[i])


def _paint_side(
    columns: _Columns,
    i: int,
    span: slice,
    down: np.ndarray,
    above: float,
    below: float,
    depth: np.ndarray,
    code: np.ndarray,
    base: int,
) -> None:
    enter, leave = columns.enter[i, span], columns.leave[i, span]
    height = down * enter
    hit = (height >= above) & (height <= below) & (enter < depth)
    hit &= (enter > NEAR) & (enter < leave)
    np.copyto(depth, enter, where=hit)
    np.copyto(code, base + columns.face[i, span], where=hit)


def _paint_box(
    columns: _Columns,
    i: int,
    span: slice,
    down: np.ndarray,
    above: float,
    below: float,
    depth: np.ndarray,
    code: np.ndarray,
    base: int,
) -> None:
    _paint_side(columns, i, span, down, above, below, depth, code, base)
    for level, face in ((above, TOP), (-below, BOTTOM)):
        if level <= 0:  # the eye cannot see this face from where it is
            continue
        with np.errstate(divide="ignore"):
            flat = level / (down if face == TOP else -down)
        hit = (flat > columns.enter[i, span]) & (flat < columns.leave[i, span]) & (flat < depth) & (flat > NEAR)
        np.copyto(depth, flat, where=hit)
        np.copyto(code, np.int32(base + face), where=hit)


def _paint_blob(
    columns: _Columns,
    i: int,
    span: slice,
    down: np.ndarray,
    above: float,
    below: float,
    depth: np.ndarray,
    code: np.ndarray,
    base: int,
) -> None:
    half = (below - above) / 2
    qy, oy = down / half, -(above + below) / (2 * half)
    qx, qz, ox, oz = columns.qx[i, span], columns.qz[i, span], columns.ox[i, 0], columns.oz[i, 0]
    square = (qx * qx + qz * qz) + qy * qy
    mixed = (qx * ox + qz * oz) + qy * oy
    inside = mixed * mixed - square * (ox * ox + oz * oz + oy * oy - 1)
    enter = (-mixed - np.sqrt(np.maximum(inside, 0))) / square
    hit = (inside > 0) & (enter < depth) & (enter > NEAR)
    np.copyto(depth, enter, where=hit)
    np.copyto(code, np.int32(base + BLOB), where=hit)
