"""A close look at single samples: everything is decoded, nothing is kept but numbers and small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from PIL import Image

from dataloader.catalog import LoaderSpec
from dataloader.files import read_depth, read_image, read_labels
from dataloader.samples import Sample
from errors import UserError

MOTION_WIDTH = 640  # pixels; apparent motion is measured at this width
TILE_WIDTH = 640


@dataclass(frozen=True)
class DepthFacts:
    """One depth map: its size, the share of measured pixels, and their metres."""

    size: tuple[int, int]
    coverage: float
    low: float = 0.0
    median: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class LabelFacts:
    """One label map: its size, pixels per stored id (256 of them), and the share of pixels that are ignored."""

    size: tuple[int, int]
    counts: np.ndarray
    ignored: float


@dataclass(frozen=True)
class Tile:
    """Small pictures of one sample for the contact sheet; depth in metres, labels in train ids."""

    name: str
    images: dict[int, np.ndarray]
    depth: np.ndarray | None = None
    labels: np.ndarray | None = None


@dataclass
class Look:
    """What one sample turned out to be; `motion` is the median apparent motion in pixels of a 640 wide image."""

    sample: Sample
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    motion: float | None = None
    duplicate: bool = False
    depth: DepthFacts | None = None
    labels: LabelFacts | None = None
    tile: Tile | None = None


def choose(count: int, wanted: int) -> list[int]:
    """Numbers of `wanted` samples spread evenly over `count`; all of them where `wanted` is 0 or too many."""
    if wanted == 0 or wanted >= count:
        return list(range(count))
    return [int(place) for place in np.linspace(0, count - 1, wanted).round()]


def look_at(spec: LoaderSpec, sample: Sample, keep_tile: bool) -> Look:
    """Decode all files of one sample; damaged ones are collected, not raised."""
    look = Look(sample)
    images = {}
    for offset, path in sample.images.items():
        try:
            images[offset] = read_image(path)
            look.sizes[offset] = images[offset].shape[:2]
        except UserError as error:
            look.faults.append(str(error))
    _measure_motion(look, images)
    depth = _read_depth(look)
    labels = _read_labels(look) if spec.purpose == "segmentation" else None
    if keep_tile and 0 in images:
        look.tile = Tile(sample.name, {offset: _small(image) for offset, image in images.items()}, depth, labels)
    return look


def _read_depth(look: Look) -> np.ndarray | None:
    if look.sample.depth is None:
        return None
    try:
        depth = read_depth(replace(look.sample.depth, cache=""))  # a check leaves the data folder as it is
    except UserError as error:
        look.faults.append(str(error))
        return None
    known = depth[depth > 0]
    look.depth = DepthFacts(depth.shape, known.size / max(depth.size, 1))
    if known.size:
        low, median, high = (float(value) for value in (known.min(), np.median(known), known.max()))
        look.depth = replace(look.depth, low=low, median=median, high=high)
    return depth


def _read_labels(look: Look) -> np.ndarray | None:
    sample = look.sample
    if not sample.labels:
        return None
    try:
        labels = read_labels(sample.labels, sample.labels_mode)
    except UserError as error:
        look.faults.append(str(error))
        return None
    with Image.open(sample.labels) as image:  # which can be decoded, as just seen
        stored = np.asarray(image)
    ids = stored if stored.ndim == 2 else stored[..., -1]
    look.labels = LabelFacts(labels.shape, np.bincount(ids.ravel(), minlength=256), float((labels == 255).mean()))
    return labels


def _measure_motion(look: Look, images: dict[int, np.ndarray]) -> None:
    """How far corners move to the neighbour; standing still and duplicated frames teach depth nothing."""
    offsets = [offset for offset in images if offset]
    if 0 not in images or not offsets:
        return
    first, second = (_grey(images[offset]) for offset in (0, offsets[-1]))
    if first.shape != second.shape:
        return
    look.duplicate = bool((first == second).all())
    look.motion = 0.0 if look.duplicate else median_motion(first, second)


def _grey(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = (MOTION_WIDTH, max(round(height * MOTION_WIDTH / width), 1))
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)


def median_motion(first: np.ndarray, second: np.ndarray) -> float | None:
    """Median displacement of corners between two grey images, in pixels; None where there are no corners.

    Shapes:  first, second (H, W) uint8
    """
    corners = cv2.goodFeaturesToTrack(first, maxCorners=300, qualityLevel=0.01, minDistance=8)
    if corners is None:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None, winSize=(21, 21), maxLevel=4)
    tracked = (found.ravel() == 1).nonzero()[0]
    if not len(tracked):
        return None
    return float(np.median(np.linalg.norm((moved - corners).reshape(-1, 2)[tracked], axis=1)))


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = (TILE_WIDTH, max(round(height * TILE_WIDTH / width), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def sizes_of(looks: Sequence[Look]) -> dict[tuple[int, int], int]:
    """How many samples have which image size (height, width), most frequent first."""
    counts: dict[tuple[int, int], int] = {}
    for look in looks:
        if 0 in look.sizes:
            counts[look.sizes[0]] = counts.get(look.sizes[0], 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
