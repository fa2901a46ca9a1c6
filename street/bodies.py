"""What stands in a street, as groups of primitive shapes around the origin; lengths in metres."""

from __future__ import annotations

import math

import numpy as np

from .primitives import Colour, Kind, Label, Material, primitive

Generator = np.random.Generator
BOX, CYLINDER, ELLIPSOID = Kind.BOX, Kind.CYLINDER, Kind.ELLIPSOID

HOUSE_TONES = (
    (0.72, 0.58, 0.38),
    (0.62, 0.36, 0.28),
    (0.80, 0.74, 0.60),
    (0.58, 0.56, 0.54),
    (0.48, 0.53, 0.60),
    (0.76, 0.66, 0.50),
    (0.68, 0.46, 0.36),
    (0.82, 0.80, 0.74),
    (0.64, 0.66, 0.60),
)
LEAF_TONES = ((0.25, 0.40, 0.14), (0.31, 0.46, 0.18), (0.21, 0.36, 0.19), (0.46, 0.50, 0.18))
PAINTS = (
    (0.66, 0.67, 0.69),
    (0.10, 0.10, 0.12),
    (0.38, 0.39, 0.41),
    (0.62, 0.12, 0.10),
    (0.13, 0.22, 0.48),
    (0.82, 0.82, 0.80),
    (0.14, 0.32, 0.20),
    (0.78, 0.62, 0.14),
)
BARK, METAL, RUBBER = (0.30, 0.23, 0.17), (0.34, 0.36, 0.37), (0.07, 0.07, 0.075)
SKIN = (0.72, 0.52, 0.42)


def _pick(rng: Generator, tones: tuple[Colour, ...], low: float = 1.0, high: float = 1.0) -> Colour:
    tone, scale = tones[int(rng.integers(len(tones)))], rng.uniform(low, high)
    return tuple(min(1.0, channel * scale) for channel in tone)


def house(rng: Generator, width: float, depth: float) -> np.ndarray:
    """A house front of `width` along the street: one box with windows."""
    height = rng.uniform(*((5, 8), (8, 14), (12, 20))[int(rng.integers(3))])
    period, storey = width / max(1, round(width / rng.uniform(1.8, 3.2))), rng.uniform(2.7, 3.3)
    pattern = (period, rng.uniform(0.35, 0.6), storey, rng.uniform(0.08, 0.22))
    return primitive(
        BOX,
        Material.HOUSE,
        Label.BUILDING,
        _pick(rng, HOUSE_TONES, 0.85, 1.2),
        (depth, width),
        height,
        contrast=0.10,
        pattern=pattern,
    )


def barrier(rng: Generator, width: float) -> np.ndarray:
    """What closes a plot without a house: hedge, brick wall or slatted fence of `width` along the street."""
    kind = rng.uniform()
    if kind < 0.5:
        return primitive(
            BOX,
            Material.LEAVES,
            Label.VEGETATION,
            _pick(rng, LEAF_TONES, 0.9, 1.1),
            (rng.uniform(0.7, 1.1), width),
            rng.uniform(1, 2.2),
            contrast=0.32,
        )
    if kind < 0.8:
        return primitive(
            BOX,
            Material.BRICK,
            Label.WALL,
            (0.52, 0.30, 0.22),
            (0.3, width),
            rng.uniform(1.4, 2.4),
            contrast=0.15,
            pattern=(0.25, 0.075),
        )
    return primitive(
        BOX,
        Material.SLATS,
        Label.FENCE,
        _pick(rng, ((0.45, 0.33, 0.22), (0.74, 0.72, 0.68))),
        (0.12, width),
        rng.uniform(0.9, 1.5),
        contrast=0.12,
        pattern=(0.16, 0.72),
    )


def tree(rng: Generator) -> np.ndarray:
    """A trunk and a crown of one blob on top and a ring of others."""
    crown, stem = rng.uniform(1.2, 2.4), rng.uniform(1.7, 2.6)
    tone = _pick(rng, LEAF_TONES, 0.9, 1.15)
    rows = [
        primitive(
            CYLINDER,
            Material.PLAIN,
            Label.VEGETATION,
            BARK,
            (2 * rng.uniform(0.10, 0.22),) * 2,
            stem + 0.6 * crown,
            contrast=0.25,
        )
    ]
    ring = int(rng.integers(2, 5))
    first = rng.uniform(0, 2 * math.pi)
    for i in range(ring + 1):
        radius = crown * rng.uniform(0.5, 0.72)
        reach = 0.15 * crown if i == ring else 0.55 * crown
        angle = first + 2 * math.pi * i / ring + rng.uniform(-0.3, 0.3)
        middle = stem + (1.25 if i == ring else 0.55 + rng.uniform(-0.12, 0.12)) * crown
        tall = radius * rng.uniform(0.85, 1.0)
        shade = rng.uniform(0.88, 1.12)
        rows.append(
            primitive(
                ELLIPSOID,
                Material.LEAVES,
                Label.VEGETATION,
                tuple(c * shade for c in tone),
                (2 * radius, 2 * radius * rng.uniform(0.9, 1.1)),
                middle + tall,
                middle - tall,
                at=(reach * math.cos(angle), reach * math.sin(angle)),
                contrast=rng.uniform(0.30, 0.35),
            )
        )
    return np.concatenate(rows)


def lamp(rng: Generator) -> np.ndarray:
    """A street lamp 6.5 m high whose arm reaches to the left."""
    return np.concatenate(
        [
            primitive(CYLINDER, Material.PLAIN, Label.POLE, METAL, (0.14, 0.14), 6.5),
            primitive(BOX, Material.PLAIN, Label.POLE, METAL, (1.5, 0.09), 6.5, 6.4, at=(-0.75, 0)),
            primitive(BOX, Material.PLAIN, Label.POLE, (0.62, 0.62, 0.58), (0.5, 0.22), 6.42, 6.3, at=(-1.45, 0)),
        ]
    )


def sign(rng: Generator) -> np.ndarray:
    """A post with a square plate that faces the traffic on this side."""
    plate, height = rng.uniform(0.6, 0.84), rng.uniform(2.1, 2.6)
    tone = ((0.70, 0.10, 0.08), (0.10, 0.22, 0.58), (0.80, 0.66, 0.12))[int(rng.integers(3))]
    return np.concatenate(
        [
            primitive(CYLINDER, Material.PLAIN, Label.POLE, METAL, (0.07, 0.07), height),
            primitive(BOX, Material.PLATE, Label.SIGN, tone, (plate, 0.05), height + plate, height, at=(0, -0.06)),
        ]
    )


def bin_(rng: Generator) -> np.ndarray:
    """A litter bin."""
    return primitive(
        BOX, Material.PLAIN, Label.STATIC, _pick(rng, ((0.16, 0.30, 0.20), (0.30, 0.31, 0.33))), (0.5, 0.5), 1.0
    )


def traffic_light(rng: Generator) -> np.ndarray:
    """A post with a signal head towards the traffic on this side; `pattern` says which lamp burns."""
    return np.concatenate(
        [
            primitive(CYLINDER, Material.PLAIN, Label.POLE, METAL, (0.12, 0.12), 3.3),
            primitive(
                BOX,
                Material.SIGNAL,
                Label.LIGHT,
                (0.07, 0.08, 0.08),
                (0.34, 0.26),
                3.4,
                2.4,
                at=(0, -0.19),
                pattern=(float(rng.integers(3)),),
            ),
        ]
    )


def _wheels(width: float, length: float) -> list[np.ndarray]:
    return [
        primitive(BOX, Material.WHEEL, Label.CAR, RUBBER, (0.2, 0.62), 0.62, at=(x, z))
        for x in (-width / 2 + 0.08, width / 2 - 0.08)
        for z in (-0.31 * length, 0.31 * length)
    ]


def car(rng: Generator) -> np.ndarray:
    """A car that looks along +z: body, cabin, four wheels."""
    length, width, roof = rng.uniform(3.9, 4.7), rng.uniform(1.65, 1.85), rng.uniform(1.40, 1.65)
    paint, share = _pick(rng, PAINTS, 0.9, 1.1), rng.uniform(0.54, 0.68)
    shift = -rng.uniform(0.02, 0.10) * length
    return np.concatenate(
        [
            primitive(BOX, Material.BODY, Label.CAR, paint, (width, length), 0.9, 0.18),
            primitive(
                BOX,
                Material.CABIN,
                Label.CAR,
                paint,
                (width - 0.16, share * length),
                roof,
                0.9,
                at=(0, shift),
                pattern=(0.94, roof - 0.12),
            ),
            *_wheels(width, length),
        ]
    )


def truck(rng: Generator) -> np.ndarray:
    """A van or small lorry that looks along +z."""
    length, height = rng.uniform(5, 7), rng.uniform(2.4, 2.9)
    paint = _pick(rng, ((0.80, 0.80, 0.78), (0.60, 0.60, 0.58), (0.20, 0.32, 0.52), (0.68, 0.30, 0.16)))
    return _large(Label.TRUCK, paint, 2.0, length, height, (1.25, 1.85), windows=False)


def bus(rng: Generator) -> np.ndarray:
    """A bus that looks along +z, with a row of windows."""
    paint = _pick(rng, ((0.72, 0.16, 0.12), (0.80, 0.64, 0.16), (0.16, 0.36, 0.56), (0.80, 0.80, 0.76)))
    return _large(Label.BUS, paint, 2.4, rng.uniform(9, 11), 3.0, (1.2, 2.3), windows=True)


def _large(
    label: Label, paint: Colour, width: float, length: float, height: float, band: tuple[float, float], windows: bool
) -> np.ndarray:
    pattern = (*band, float(windows))
    wheels = np.concatenate(_wheels(width, length))
    wheels["label"] = label
    return np.concatenate(
        [primitive(BOX, Material.CABIN, label, paint, (width, length), height, 0.3, pattern=pattern), wheels]
    )


def person(rng: Generator) -> np.ndarray:
    """A walker: a clothed cylinder and a head; `pattern` holds the trousers' colour and the waist."""
    height = rng.uniform(1.55, 1.85)
    shirt = _pick(rng, (*PAINTS, (0.55, 0.30, 0.45), (0.25, 0.45, 0.50)))
    trousers = rng.uniform(0.08, 0.3)
    return np.concatenate(
        [
            primitive(
                CYLINDER,
                Material.CLOTHES,
                Label.PERSON,
                shirt,
                (0.44, 0.44),
                height - 0.22,
                contrast=0.12,
                pattern=(trousers, trousers, trousers * 1.3, 0.52 * height),
            ),
            primitive(ELLIPSOID, Material.PLAIN, Label.PERSON, SKIN, (0.22, 0.24), height, height - 0.28),
        ]
    )
