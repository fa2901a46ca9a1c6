"""The table of solid shapes a street is made of, and the short names that go with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

Colour = tuple[float, float, float]  # RGB albedo in 0..1


class Label(IntEnum):
    """Cityscapes label ids that occur in the street."""

    BONNET = 1
    STATIC = 4
    ROAD = 7
    PAVEMENT = 8
    PARKING = 9
    BUILDING = 11
    WALL = 12
    FENCE = 13
    POLE = 17
    LIGHT = 19
    SIGN = 20
    VEGETATION = 21
    TERRAIN = 22
    SKY = 23
    PERSON = 24
    CAR = 26
    TRUCK = 27
    BUS = 28


class Kind(IntEnum):
    """Shapes: all stand upright and may be turned about the vertical axis."""

    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


class Material(IntEnum):
    """What a surface looks like; see `materials`."""

    PLAIN = 0
    HOUSE = 1
    BRICK = 2
    SLATS = 3
    LEAVES = 4
    BODY = 5
    CABIN = 6
    WHEEL = 7
    SIGNAL = 8
    CLOTHES = 9
    PLATE = 10


PRIMITIVE = np.dtype(
    [
        ("kind", "i4"),
        ("material", "i4"),
        ("label", "i4"),
        ("x", "f4"),  # centre, metres
        ("z", "f4"),
        ("yaw", "f4"),
        ("half_x", "f4"),  # half extent or radius along the own right axis, metres
        ("half_z", "f4"),  # the same along the own forward axis
        ("top", "f4"),  # world y, negative above the ground
        ("bottom", "f4"),
        ("colour", "f4", 3),
        ("contrast", "f4"),  # amplitude of the texture noise
        ("pattern", "f4", 4),  # meaning depends on the material
        ("serial", "f4"),  # shifts the texture, so that no two objects look alike
    ]
)


def primitive(
    kind: Kind,
    material: Material,
    label: Label,
    colour: Colour,
    size: tuple[float, float],
    top: float,
    bottom: float = 0.0,
    at: tuple[float, float] = (0.0, 0.0),
    yaw: float = 0.0,
    contrast: float = 0.05,
    pattern: Sequence[float] = (0, 0, 0, 0),
) -> np.ndarray:
    """One row of the table.

    Args:
        kind: shape.
        material: look.
        label: Cityscapes id.
        colour: RGB albedo in 0..1.
        size: full extents (across, along) in metres.
        top: height of the upper end above the ground, metres.
        bottom: height of the lower end above the ground, metres.
        at: centre (x, z) in the frame of the body it belongs to, metres.
        yaw: own turn in that frame, radians.
        contrast: amplitude of the texture noise.
        pattern: up to four numbers for the material.

    Returns:
        (1,) array of `PRIMITIVE`.
    """
    row = np.zeros(1, PRIMITIVE)
    row[0] = (
        kind,
        material,
        label,
        at[0],
        at[1],
        yaw,
        size[0] / 2,
        size[1] / 2,
        -top,
        -bottom,
        colour,
        contrast,
        tuple(pattern) + (0,) * (4 - len(pattern)),
        0,
    )
    return row


def placed(body: np.ndarray, x: float, z: float, yaw: float) -> np.ndarray:
    """A copy of a body (rows around the origin) turned by `yaw` and moved to (x, z)."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    rows = body.copy()
    rows["x"] = x + body["x"] * cos + body["z"] * sin
    rows["z"] = z - body["x"] * sin + body["z"] * cos
    rows["yaw"] = body["yaw"] + yaw
    return rows
