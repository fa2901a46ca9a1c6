"""Draw one street: everything about scene i follows from (seed, i), whatever the number of frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import bodies
from .primitives import PRIMITIVE, placed
from .road import END, MAX_FRAMES, START, Arc, Markings, Mover, Ride, Road, Side

Generator = np.random.Generator


@dataclass(frozen=True)
class Light:
    """Sun and air of a scene.

    Attributes:
        sun: unit vector towards the sun, world axes.
        ambient: light that reaches every surface.
        haze: length over which the air hides 63 % of what lies behind, metres.
        zenith: RGB of the sky overhead.
        horizon: RGB of the sky at the horizon, and of the haze.
        clouds: cover, 0..1.
    """

    sun: tuple[float, float, float]
    ambient: float
    haze: float
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    clouds: float


@dataclass(frozen=True)
class Scene:
    """A street with all that stands and moves in it; `still` holds the rows of `primitives.PRIMITIVE` that stay."""

    road: Road
    light: Light
    ride: Ride
    still: np.ndarray
    movers: tuple[Mover, ...]
    texture: tuple[float, float]  # shift of the ground and sky textures, metres

    def table(self, frame: int) -> np.ndarray:
        """All shapes at a frame, those that stay first, each with its own serial number."""
        eye = self.ride.travelled(frame)
        parts = [self.still]
        for mover in self.movers:
            s, d = mover.position(frame, eye)
            parts.append(_put(self.road.arc, mover.body, s, d, mover.turn))
        table = np.concatenate(parts)
        table["serial"] = np.arange(len(table))
        return table


def draw_scene(seed: int, index: int, curved: bool = False) -> Scene:
    """Make scene `index` of the set with this seed.

    Args:
        seed: seed of the whole set.
        index: number of the scene.
        curved: ask for a strong bend (radius 70..110 m).
    """
    rng = np.random.default_rng([seed, index, 1])
    road = _road(rng, curved)
    light = _light(rng)
    ride = _ride(rng, road)
    trees = rng.uniform() < 0.8
    still = [_plots(rng, road, sign, trees) for sign in (-1, 1)]
    still += [_furniture(rng, road, sign, trees) for sign in (-1, 1)]
    still += [_parked(rng, road, sign) for sign in (-1, 1)]
    still.append(_signals(rng, road))
    texture = (rng.uniform(0, 500), rng.uniform(0, 500))
    return Scene(road, light, ride, np.concatenate(still), _movers(rng, road, ride), texture)


def _put(arc: Arc, body: np.ndarray, s: float, d: float, turn: float = 0.0) -> np.ndarray:
    return placed(body, *arc.point(s, d), arc.heading(s) + turn)


def _road(rng: Generator, curved: bool) -> Road:
    bent, radius, tight = rng.uniform() < 0.7, rng.uniform(70, 400), rng.uniform(70, 110)
    direction = rng.choice([-1, 1])
    bend = direction / tight if curved else direction / radius if bent else 0.0

    def side() -> Side:
        strip, parking = rng.uniform() < 0.6, rng.uniform(2.0, 2.4)
        pavement, green, verge = rng.uniform(1.8, 4.0), rng.uniform() < 0.45, rng.uniform(0, 5)
        return Side(parking if strip else 0.0, pavement, verge if green else 0.0)

    half = rng.uniform(3.6, 5.2)
    crossing = rng.uniform(18, 70) if rng.uniform() < 0.6 else -1.0
    markings = Markings(rng.uniform(0.26, 0.42), rng.uniform(0.45, 0.6), crossing, rng.uniform(0, 9))
    return Road(Arc(float(bend)), half, side(), side(), markings)


def _light(rng: Generator) -> Light:
    height = math.radians(rng.uniform(25, 60))
    side = rng.choice([-1, 1])
    azimuth = side * math.radians(rng.uniform(25, 115) if rng.uniform() < 0.8 else rng.uniform(115, 180))
    sun = (math.cos(height) * math.sin(azimuth), -math.sin(height), math.cos(height) * math.cos(azimuth))
    blue = rng.uniform(0, 1)
    zenith = (0.36 + 0.12 * blue, 0.52 + 0.08 * blue, 0.80 + 0.02 * blue)
    pale = rng.uniform(0.76, 0.84)
    horizon = (pale - 0.05, pale, pale + 0.05)
    return Light(sun, rng.uniform(0.42, 0.60), rng.uniform(200, 600), zenith, horizon, rng.uniform(0.2, 0.8))


def _ride(rng: Generator, road: Road) -> Ride:
    return Ride(
        arc=road.arc,
        offset=rng.uniform(0.8, 1.1) * road.half / 2,
        weave=rng.uniform(0, 0.35),
        wavelength=rng.uniform(30, 70),
        weave_phase=rng.uniform(0, 2 * math.pi),
        speed=math.exp(rng.uniform(math.log(0.25), math.log(1.2))),
        speed_period=rng.uniform(12, 40),
        speed_phase=rng.uniform(0, 2 * math.pi),
        jitter=rng.standard_normal((MAX_FRAMES, 2)) * (0.002, 0.006),
        exposure=rng.normal(1, 0.01, MAX_FRAMES),
    )


def _plots(rng: Generator, road: Road, sign: int, trees: bool) -> np.ndarray:
    """The contiguous row of houses, or of barriers with trees behind, along one side."""
    line = road.side(sign).edges(road.half)[2]
    parts, s = [], START
    while s < END:
        width, depth = rng.uniform(7, 20), rng.uniform(6, 11)
        middle = s + width / 2
        if rng.uniform() < 0.8:
            back = line + (rng.uniform(0, 1.5) if rng.uniform() < 0.4 else 0.0)
            parts.append(_put(road.arc, bodies.house(rng, width, depth), middle, sign * (back + depth / 2)))
        else:
            parts.append(_put(road.arc, bodies.barrier(rng, width), middle, sign * (line + 0.6)))
            for _ in range(int(rng.integers(1, 4)) if trees else 1):
                away = rng.uniform(3, 9)
                parts.append(_put(road.arc, bodies.tree(rng), s + rng.uniform(1, width - 1), sign * (line + away)))
        s += width + (rng.uniform(0, 0.3) if rng.uniform() < 0.6 else rng.uniform(1, 6))
    return np.concatenate(parts)


def _furniture(rng: Generator, road: Road, sign: int, trees: bool) -> np.ndarray:
    """Trees, lamps, signs and bins along the kerb of one side."""
    kerb = road.side(sign).edges(road.half)[0]
    spacing = rng.uniform(8, 22)
    others = (bodies.lamp, bodies.sign, bodies.bin_)
    parts, s = [], START + rng.uniform(0, spacing)
    while s < END:
        grown = rng.uniform() < 0.6
        other = others[int(rng.integers(len(others)))]
        make = bodies.tree if trees and grown else other
        turn = 0.0 if sign > 0 else math.pi  # bodies are made for the right side
        parts.append(_put(road.arc, make(rng), s, sign * (kerb + rng.uniform(0.5, 0.8)), turn))
        s += spacing * rng.uniform(0.6, 1.3)
    return np.concatenate(parts)


def _parked(rng: Generator, road: Road, sign: int) -> np.ndarray:
    """Vehicles in the parking strip of one side; none where there is no strip."""
    strip = road.side(sign).parking
    parts, s = [np.zeros(0, PRIMITIVE)], START
    while strip and s < END:
        slot = rng.uniform(5.2, 7)
        if rng.uniform() < 0.6:
            body = _vehicle(rng)
            slot = max(slot, 2 * float(body["half_z"].max()) + 0.8)
            turn = (0.0 if sign > 0 else math.pi) + rng.normal(0, 0.015)
            parts.append(_put(road.arc, body, s + slot / 2, sign * (road.half + strip / 2), turn))
        s += slot
    return np.concatenate(parts)


def _vehicle(rng: Generator) -> np.ndarray:
    draw = rng.uniform()
    make: Callable[[Generator], np.ndarray] = bodies.car if draw < 0.86 else bodies.truck if draw < 0.95 else bodies.bus
    return make(rng)


def _signals(rng: Generator, road: Road) -> np.ndarray:
    """Two traffic lights at the crossing; none where the street has none."""
    lights = [bodies.traffic_light(rng) for _ in range(2)]
    if road.markings.crossing < 0:
        return lights[0][:0]
    s = road.markings.crossing
    return np.concatenate(
        [
            _put(road.arc, lights[0], s - 0.6, road.right.edges(road.half)[0] + 0.4),
            _put(road.arc, lights[1], s + 4.6, -road.left.edges(road.half)[0] - 0.4, math.pi),
        ]
    )


def _movers(rng: Generator, road: Road, ride: Ride) -> tuple[Mover, ...]:
    """Walkers on both pavements, oncoming cars, and now and then a car ahead."""
    movers = []
    for sign in (-1, 1):
        kerb, wall, _ = road.side(sign).edges(road.half)
        for _ in range(int(rng.integers(1, 5))):
            speed = rng.uniform(0.08, 0.16) * rng.choice([-1, 1])
            offset = sign * rng.uniform(kerb + 1.0, max(wall - 0.3, kerb + 1.1))
            movers.append(Mover(bodies.person(rng), rng.uniform(4, 60), offset, speed, 0.0 if speed > 0 else math.pi))
    for _ in range(int(rng.integers(0, 3))):
        start, speed = rng.uniform(15, 90), rng.uniform(0.4, 1.2)
        movers.append(Mover(bodies.car(rng), start, -road.half / 2, -speed, math.pi))
    ahead = rng.uniform() < 0.4
    lead, ratio, body = rng.uniform(14, 32), rng.uniform(0.8, 1.3), bodies.car(rng)
    if ahead:
        movers.append(Mover(body, lead, ride.offset, ride.speed * ratio, 0.0, lead=9.0))
    return tuple(movers)
