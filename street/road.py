"""The course of the street: an arc, its cross-section, and the paths things take along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .camera import EYE_HEIGHT, Pose

START, END = -15.0, 275.0  # street along the arc, metres; fixed, so that more frames change nothing
MAX_FRAMES = 120  # the fastest eye still has about 120 m of street ahead


@dataclass(frozen=True)
class Arc:
    """Street coordinates: length s along an arc of curvature `bend` (1/m, positive to the right), offset d (right)."""

    bend: float

    def point(self, s: float, d: float) -> tuple[float, float]:
        """World (x, z) of street position (s, d), metres."""
        if self.bend == 0:
            return d, s
        turn = self.bend * s
        return (1 - math.cos(turn)) / self.bend + d * math.cos(turn), math.sin(turn) / self.bend - d * math.sin(turn)

    def heading(self, s: float) -> float:
        """Yaw of the street at s, radians."""
        return self.bend * s

    def locate(self, x: np.ndarray, z: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
        """Street coordinates (s, d) of world points, on the half turn around s = `near`; float32 like the input."""
        if self.bend == 0:
            return z, x
        radius, side = 1 / abs(self.bend), math.copysign(1, self.bend)
        inward, along = radius - side * x, z  # seen from the centre of the arc
        turn = abs(self.bend) * near
        cos, sin = math.cos(turn), math.sin(turn)
        s = near + radius * np.arctan2(along * cos - inward * sin, inward * cos + along * sin)
        return s, side * (radius - np.sqrt(inward * inward + along * along))


@dataclass(frozen=True)
class Side:
    """One side of the street: widths in metres, outwards from the carriageway; 0 = not there."""

    parking: float
    pavement: float
    verge: float

    def edges(self, half_road: float) -> tuple[float, float, float]:
        """Distances from the centre line to the outer edge of parking strip, pavement and verge."""
        kerb = half_road + self.parking
        return kerb, kerb + self.pavement, kerb + self.pavement + self.verge


@dataclass(frozen=True)
class Markings:
    """Looks of the ground: greys 0..1 and the crossing; `crossing` < 0 means none."""

    asphalt: float
    slabs: float
    crossing: float
    phase: float  # start of the dashes, metres


@dataclass(frozen=True)
class Road:
    """Arc, half width of the carriageway (m), left and right side."""

    arc: Arc
    half: float
    left: Side
    right: Side
    markings: Markings

    def side(self, sign: int) -> Side:
        """The right side for +1, the left one for -1."""
        return self.right if sign > 0 else self.left


@dataclass(frozen=True)
class Ride:
    """How the eye travels: offset and weave in metres, speed in metres per frame."""

    arc: Arc
    offset: float
    weave: float
    wavelength: float
    weave_phase: float
    speed: float
    speed_period: float  # frames
    speed_phase: float
    jitter: np.ndarray  # (MAX_FRAMES, 2): yaw in radians, height in metres
    exposure: np.ndarray  # (MAX_FRAMES,)

    def speed_at(self, frame: int) -> float:
        """Metres from this frame to the next, 15 % up and down along the scene."""
        return self.speed * (1 + 0.15 * math.sin(2 * math.pi * frame / self.speed_period + self.speed_phase))

    def travelled(self, frame: int) -> float:
        """Street coordinate s of the eye at a frame, metres."""
        s = 0.0
        for i in range(frame):
            s += self.speed_at(i) / (1 - self.arc.bend * self.offset_at(s))
        return s

    def offset_at(self, s: float) -> float:
        """Street coordinate d of the eye's path at s, metres."""
        return self.offset + self.weave * math.sin(2 * math.pi * s / self.wavelength + self.weave_phase)

    def pose(self, frame: int) -> Pose:
        """Pose of the left camera at a frame."""
        s = self.travelled(frame)
        wave = 2 * math.pi / self.wavelength
        slope = self.weave * wave * math.cos(wave * s + self.weave_phase)
        x, z = self.arc.point(s, self.offset_at(s))
        yaw = self.arc.heading(s) + math.atan2(slope, 1 - self.arc.bend * self.offset_at(s))
        return Pose(x, -EYE_HEIGHT + float(self.jitter[frame, 1]), z, yaw + float(self.jitter[frame, 0]))


@dataclass(frozen=True)
class Mover:
    """A body that moves along the street at constant speed, or keeps a lead on the eye.

    Attributes:
        body: rows of `primitives.PRIMITIVE` around the origin.
        start: street coordinate s at frame 0, metres.
        offset: street coordinate d, metres.
        speed: metres per frame, negative against the direction of travel.
        turn: own yaw on top of the street's, radians.
        lead: smallest distance kept ahead of the eye, metres; 0 for those that do not drive ahead.
    """

    body: np.ndarray
    start: float
    offset: float
    speed: float
    turn: float
    lead: float = 0.0

    def position(self, frame: int, eye: float) -> tuple[float, float]:
        """Street coordinates (s, d) at a frame; `eye` is the eye's own s then."""
        s = self.start + self.speed * frame
        return (max(s, eye + self.lead) if self.lead else s), self.offset
