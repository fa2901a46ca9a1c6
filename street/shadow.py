"""Shadows on the ground: a bitmap per scene, to which moving bodies are added frame by frame."""

from __future__ import annotations

import cv2
import numpy as np

from .primitives import Kind

CELL = 0.12  # metres per bitmap pixel
BLUR = 1.5  # pixels
MARGIN = 30.0  # metres around the street
CORNERS = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float32)
CIRCLE = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], 1).astype(np.float32)
SUNLESS, COVERED = 170, 255  # bitmap values: sun hidden; under a vehicle, where the sky is hidden as well
LOW_FLOOR = -0.5  # y above which the lower face of a box counts as the floor of a vehicle
ROUNDING = 0.75  # an ellipsoid casts the shadow of an upright cylinder this much smaller each way


class GroundShadow:
    """Where the sun does not reach the ground.

    Args:
        table: shapes that stay, rows of `primitives.PRIMITIVE`.
        sun: unit vector towards the sun, world axes.
    """

    def __init__(self, table: np.ndarray, sun: tuple[float, float, float]):
        self._slope = np.array([sun[0], sun[2]], np.float32) / sun[1]  # metres on the ground per metre of height
        self._origin = np.array([table["x"].min(), table["z"].min()], np.float32) - MARGIN
        size = np.array([table["x"].max(), table["z"].max()], np.float32) + MARGIN - self._origin
        self._still = self._drawn(table, np.zeros(tuple(np.ceil(size[::-1] / CELL).astype(int)), np.uint8))

    def look_up(self, movers: np.ndarray, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shadow at world points.

        Args:
            movers: shapes that move, at their present places.
            x: world x, metres, (n, m) float32.
            z: world z.

        Returns:
            How much of the sun is hidden and how far the point lies under a vehicle, both 0..1, (n, m) float32.
        """
        u, v = (x - self._origin[0]) / CELL - 0.5, (z - self._origin[1]) / CELL - 0.5
        value = cv2.remap(self._with(movers), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        value = value.astype(np.float32)
        return np.minimum(value / SUNLESS, 1), np.maximum(value - SUNLESS, 0) / (COVERED - SUNLESS)

    def _with(self, movers: np.ndarray) -> np.ndarray:
        if not len(movers):
            return self._still
        moving = self._drawn(movers, np.zeros_like(self._still))
        return np.maximum(self._still, moving)

    def _drawn(self, table: np.ndarray, bitmap: np.ndarray) -> np.ndarray:
        for row in table:
            cv2.fillConvexPoly(bitmap, self._outline(row, row["top"]), SUNLESS, cv2.LINE_AA, 4)
        for row in table[(table["kind"] == Kind.BOX) & (table["bottom"] > LOW_FLOOR) & (table["bottom"] < 0)]:
            cv2.fillConvexPoly(bitmap, self._outline(row, row["bottom"]), COVERED, cv2.LINE_AA, 4)
        rows = np.flatnonzero(bitmap.any(1))  # blur only the band that holds something
        if rows.size:
            band = slice(max(rows[0] - 8, 0), rows[-1] + 9)
            bitmap[band] = cv2.GaussianBlur(bitmap[band], (0, 0), BLUR)
        return bitmap

    def _outline(self, row: np.void, top: float) -> np.ndarray:
        """Hull of the base and of the ground plan at `top`, both displaced along the sunlight, in 1/16 pixel."""
        corners = CORNERS if row["kind"] == Kind.BOX else CIRCLE
        bottom, half = row["bottom"], np.array([row["half_x"], row["half_z"]])
        if row["kind"] == Kind.ELLIPSOID:
            middle, reach = (top + bottom) / 2, (bottom - top) / 2 * ROUNDING
            top, bottom, half = middle - reach, middle + reach, half * ROUNDING
        cos, sin = np.cos(row["yaw"]), np.sin(row["yaw"])
        plan = (corners * half) @ np.array([[cos, -sin], [sin, cos]], np.float32) + (row["x"], row["z"])
        # Heights are negative y and the slope divides by the sun's negative y, so the signs cancel to "away".
        outline = np.concatenate([plan - bottom * self._slope, plan - top * self._slope]) - self._origin
        return cv2.convexHull(np.round((outline / CELL - 0.5) * 16).astype(np.int32))
