"""Point clouds of an image with depth: PLY and GLB, binary."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .lens import Lens

MOST_POINTS = 2_000_000
EDGE = 0.1  # share of the depth that it may change within 3x3 pixels; beyond lies an edge, whose pixels are in between
SWING_SECONDS, SWING_FRAMES = 8.0, 33
_JSON, _BINARY = 0x4E4F534A, 0x004E4942
_FLOAT, _USHORT, _POINTS = 5126, 5123, 0


@dataclass(frozen=True)
class Cloud:
    """Points (N, 3) float32 in camera coordinates, x right, y down, z forward; colours (N, 3) uint8 sRGB."""

    points: np.ndarray
    colours: np.ndarray


def build_cloud(image: np.ndarray, depth: np.ndarray, lens: Lens) -> Cloud:
    """Points of an image (H, W, 3) uint8 with depth (H, W) > 0; those at edges of depth are left out.

    Every n-th row and column is taken where there would be more than `MOST_POINTS`.
    """
    step = math.ceil(math.sqrt(depth.size / MOST_POINTS))
    kept = ~edges(depth)[::step, ::step]
    v, u = np.nonzero(kept)
    z = depth[::step, ::step][kept]
    x, y = (u * step - lens.cx) / lens.fx * z, (v * step - lens.cy) / lens.fy * z
    return Cloud(np.stack([x, y, z], axis=1).astype(np.float32), image[::step, ::step][kept])


def without_farthest(cloud: Cloud, times: float) -> Cloud:
    """The points that are no farther than so many times the median distance."""
    kept = cloud.points[:, 2] <= times * np.median(cloud.points[:, 2]) if len(cloud.points) else slice(None)
    return Cloud(cloud.points[kept], cloud.colours[kept])


def edges(depth: np.ndarray) -> np.ndarray:
    """Marks pixels (H, W) whose depth differs from that of a neighbour by more than `EDGE` of it."""
    window = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(depth, window), cv2.dilate(depth, window)
    return farthest - nearest > EDGE * depth


def ply(cloud: Cloud, unit: str) -> bytes:
    """PLY file, little endian; axes as in `Cloud`, `unit` in a comment."""
    kind = np.dtype([("point", "<f4", 3), ("colour", "u1", 3)])
    rows = np.empty(len(cloud.points), kind)
    rows["point"], rows["colour"] = cloud.points, cloud.colours
    names = [f"property float {axis}" for axis in "xyz"] + [
        f"property uchar {name}" for name in ("red", "green", "blue")
    ]
    comments = [f"comment unit: {unit}", "comment x right, y down, z forward"]
    lines = ["ply", "format binary_little_endian 1.0", *comments, f"element vertex {len(rows)}", *names, "end_header"]
    return "\n".join(lines).encode("ascii", "replace") + b"\n" + rows.tobytes()


def glb(cloud: Cloud, unit: str, swing: float = 0.0) -> bytes:
    """Binary glTF 2.0 file of points; y up and z backward, as viewers have them. Colours are linear there.

    swing: degrees by which the cloud turns to either side about its middle, where a viewer plays animations
    """
    points = (cloud.points * np.float32([1, -1, -1])).astype("<f4")
    colours = np.full((len(points), 4), 65535, "<u2")
    colours[:, :3] = (_linear_levels()[cloud.colours] * 65535).round()
    content = points.tobytes() + colours.tobytes()
    bounds = {"min": points.min(0).tolist(), "max": points.max(0).tolist()} if len(points) else {}
    about: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "SGDEM", "extras": {"unit": unit}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": _POINTS}]}],
        "accessors": [
            {"bufferView": 0, "componentType": _FLOAT, "count": len(points), "type": "VEC3", **bounds},
            {"bufferView": 1, "componentType": _USHORT, "normalized": True, "count": len(points), "type": "VEC4"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": points.nbytes},
            {"buffer": 0, "byteOffset": points.nbytes, "byteLength": colours.nbytes},
        ],
        "buffers": [{"byteLength": len(content)}],
    }
    if swing and len(points):
        content += _add_swing(about, np.median(points, axis=0), math.radians(swing), len(content))
        about["buffers"] = [{"byteLength": len(content)}]
    chunks = _chunk(_JSON, json.dumps(about).encode(), b" ") + _chunk(_BINARY, content, b"\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _add_swing(about: dict[str, Any], middle: np.ndarray, most: float, place: int) -> bytes:
    """Let the node of the points turn about a vertical axis; returns the key frames, which go to `place`."""
    times = np.linspace(0, SWING_SECONDS, SWING_FRAMES, dtype="<f4")
    half = most / 2 * np.sin(2 * np.pi * times / SWING_SECONDS)
    turns = np.zeros((len(times), 4), "<f4")  # quaternions x, y, z, w
    turns[:, 1], turns[:, 3] = np.sin(half), np.cos(half)
    about["nodes"] = [{"children": [1], "translation": middle.tolist()}, {"mesh": 0, "translation": (-middle).tolist()}]
    about["bufferViews"] += [
        {"buffer": 0, "byteOffset": place, "byteLength": times.nbytes},
        {"buffer": 0, "byteOffset": place + times.nbytes, "byteLength": turns.nbytes},
    ]
    ends = {"min": [0.0], "max": [float(times[-1])]}
    about["accessors"] += [
        {"bufferView": 2, "componentType": _FLOAT, "count": len(times), "type": "SCALAR", **ends},
        {"bufferView": 3, "componentType": _FLOAT, "count": len(times), "type": "VEC4"},
    ]
    about["animations"] = [
        {
            "samplers": [{"input": 2, "output": 3}],
            "channels": [{"sampler": 0, "target": {"node": 0, "path": "rotation"}}],
        }
    ]
    return times.tobytes() + turns.tobytes()


def _chunk(kind: int, content: bytes, filler: bytes) -> bytes:
    padded = content + filler * (-len(content) % 4)
    return struct.pack("<II", len(padded), kind) + padded


def _linear_levels() -> np.ndarray:
    """Linear light of the 256 levels of sRGB."""
    levels = np.arange(256) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
