"""Light and texture on the solid shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .materials import LOOKS, Surface
from .primitives import Material
from .raycast import BLOB, BOTTOM, FACES, LEFT, RIGHT, ROUND, TOP
from .texture import noise, padded
from .view import Points, View

GRAZING = 0.03  # smallest cosine used for footprints
LEAF_SCALE = 2.6  # leaves are finer than stone
LEAF_NOISE = (-1.6, 1.8)
SERIAL_SHIFT = (7.31, 3.77)  # metres of texture per serial number
# Outward normals of the faces in the shape's own axes; round faces follow from the position.
NORMAL_X = np.array([0, 0, -1, 1, 0, 0, 0, 0], np.float32)
NORMAL_Y = np.array([0, 0, 0, 0, -1, 1, 0, 0], np.float32)
NORMAL_Z = np.array([-1, 1, 0, 0, 0, 0, 0, 0], np.float32)


@dataclass(frozen=True)
class _Own:
    """Rays in the axes of the shapes they hit, (n,) each."""

    index: np.ndarray  # row of the shape table
    face: np.ndarray
    cos: np.ndarray  # of the shape's yaw
    sin: np.ndarray
    x: np.ndarray  # position relative to the shape's axis, metres
    z: np.ndarray
    ray_x: np.ndarray
    ray_z: np.ndarray


def solid_albedo(view: View, pixels: np.ndarray, at: Points) -> tuple[np.ndarray, np.ndarray]:
    """Textured albedo of solid shapes, and the cosine between their normals and the sun.

    Args:
        view: the cast rays.
        pixels: flat numbers of rays that hit a shape.
        at: where they hit.

    Returns:
        (3, n) RGB in 0..1 and (n,) cosines.
    """
    own = _own(view, pixels, at)
    u, v, fp_u, fp_v = _face_coordinates(view, own, at)
    albedo = _patterns(view, own, at, u, fp_u, fp_v)
    grain = _grain(view, own, u, v, fp_u, fp_v)
    albedo *= 1 + view.table["contrast"][own.index] * grain
    return albedo, _towards_sun(view, own, at.y)


def _own(view: View, pixels: np.ndarray, at: Points) -> _Own:
    table = view.table
    index, face = np.divmod(view.hits.code.ravel()[pixels], FACES)
    cos, sin = np.cos(table["yaw"])[index], np.sin(table["yaw"])[index]
    dx, dz = at.x - table["x"][index], at.z - table["z"][index]
    return _Own(
        index,
        face,
        cos,
        sin,
        dx * cos - dz * sin,
        dx * sin + dz * cos,
        at.ray_x * cos - at.ray_z * sin,
        at.ray_x * sin + at.ray_z * cos,
    )


def _face_coordinates(view: View, own: _Own, at: Points) -> tuple[np.ndarray, ...]:
    """Texture position (u, v) on the face, and the footprints of the rays along both."""
    curved, level = own.face >= ROUND, (own.face == TOP) | (own.face == BOTTOM)
    flank = (own.face == LEFT) | (own.face == RIGHT)
    # Round shapes are cut out of a slanted block of texture, which leaves no seam.
    u = np.where(curved, own.x + 0.6 * own.z, np.where(flank, own.z, own.x))
    v = np.where(curved, at.y - 0.35 * own.x + 0.6 * own.z, np.where(level, own.z, at.y))
    across, down = at.length * np.float32(view.rays.pitch[0]), at.length * np.float32(view.rays.pitch[1])
    facing = np.abs(np.where(flank, own.ray_x, own.ray_z))
    slant = np.sqrt(at.ray_x * at.ray_x + at.ray_z * at.ray_z) / np.maximum(facing, GRAZING)
    return u, v, np.where(curved | level, across, across * slant), down


def _patterns(view: View, own: _Own, at: Points, u: np.ndarray, fp_u: np.ndarray, fp_v: np.ndarray) -> np.ndarray:
    """Base colours with the patterns of the materials, (3, n)."""
    table = view.table
    albedo = np.ascontiguousarray(table["colour"].T)[:, own.index]
    material = table["material"][own.index]
    for name, look in LOOKS.items():
        part = np.flatnonzero(material == name)
        if not part.size:
            continue
        part = padded(part)
        rows, face = own.index[part], own.face[part]
        half = np.where((face == LEFT) | (face == RIGHT), table["half_z"][rows], table["half_x"][rows])
        albedo[:, part] = look(
            Surface(
                u=u[part],
                v=-at.y[part],
                fp_u=fp_u[part],
                fp_v=fp_v[part],
                face=face,
                half=half,
                top=-table["top"][rows],
                colour=albedo[:, part],
                pattern=table["pattern"][rows],
                serial=table["serial"][rows],
            )
        )
    return albedo


def _grain(view: View, own: _Own, u: np.ndarray, v: np.ndarray, fp_u: np.ndarray, fp_v: np.ndarray) -> np.ndarray:
    """Texture noise of the surfaces; leaves have their own kind."""
    shift = view.table["serial"][own.index]
    shift_u, shift_v = shift * np.float32(SERIAL_SHIFT[0]), shift * np.float32(SERIAL_SHIFT[1])
    leafy = view.table["material"][own.index] == Material.LEAVES
    grain = np.empty_like(u)
    rest, leaves = np.flatnonzero(~leafy), np.flatnonzero(leafy)
    if rest.size:
        at = padded(rest)
        grain[at] = noise(u[at] + shift_u[at], v[at] + shift_v[at], fp_u[at], fp_v[at])
    if leaves.size:
        at = padded(leaves)
        fp_u, fp_v = LEAF_SCALE * fp_u[at], LEAF_SCALE * fp_v[at]
        value = np.zeros_like(fp_u)
        # One slanted block of texture alone shows streaks where the surface runs along the slant; two cross them.
        for side in (LEAF_SCALE, -LEAF_SCALE):
            across = LEAF_SCALE * u[at] if side > 0 else LEAF_SCALE * (own.x[at] - 1.2 * own.z[at])
            value += noise(across + shift_u[at], side * v[at] + shift_v[at], fp_u, fp_v, streaks=False)
        grain[at] = np.clip(value * np.float32(0.7), *LEAF_NOISE)
    return grain


def _towards_sun(view: View, own: _Own, y: np.ndarray) -> np.ndarray:
    sun, table = view.scene.light.sun, view.table
    sun_x, sun_z = sun[0] * own.cos - sun[2] * own.sin, sun[0] * own.sin + sun[2] * own.cos
    cosine = NORMAL_X[own.face] * sun_x + NORMAL_Z[own.face] * sun_z + NORMAL_Y[own.face] * np.float32(sun[1])
    curved = np.flatnonzero(own.face >= ROUND)
    if curved.size:
        rows = own.index[curved]
        half_y = (table["bottom"][rows] - table["top"][rows]) / 2
        middle = (table["bottom"][rows] + table["top"][rows]) / 2
        nx, nz = own.x[curved] / table["half_x"][rows] ** 2, own.z[curved] / table["half_z"][rows] ** 2
        ny = np.where(own.face[curved] == BLOB, (y[curved] - middle) / half_y**2, 0)
        norm = np.sqrt(nx * nx + ny * ny + nz * nz)
        cosine[curved] = (nx * sun_x[curved] + ny * np.float32(sun[1]) + nz * sun_z[curved]) / norm
    return cosine
