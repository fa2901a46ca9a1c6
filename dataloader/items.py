"""What becomes of the files of one sample: bytes, and the draws that decide what happens to them on the device."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from errors import UserError

from .augment import ORDERS
from .batch import UNCHANGED, Truth, camera_matrix
from .catalog import DATASETS, LoaderSpec
from .files import image_size, open_rgb, read_depth, read_labels
from .pictures import Pictures
from .samples import Sample
from .transforms import RESCALE_MAX, Filter, random_window, resize_image, shrink_image, shrink_labels, smallest_size
from .truth import is_stretched, misfit

JITTER_RANGES = ((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1))
"""Brightness, contrast, saturation, hue."""


@dataclass(frozen=True)
class Item:
    """One sample before it becomes part of a batch; fields as in `RawBatch`, without the batch.

    images: {frame: (3, H, W)} uint8, the predicted frame (0) first
    depth, dense, base: (1, H, W) float32 metres, 0 = none
    teacher: (1, H, W) or (N, s, s) float32
    guide: (1 or 2, H, W) float32; draws: (N, 7) float32
    views: further views of the sample, by name; `place` says where such a view lies in the sample
    """

    name: str
    images: Mapping[int, np.ndarray]
    K: np.ndarray
    flip: bool = False
    measured: bool = False
    jitter: tuple[float, ...] | tuple[tuple[float, ...], ...] = UNCHANGED
    labels: np.ndarray | None = None
    depth: np.ndarray | None = None
    dense: np.ndarray | None = None
    base: np.ndarray | None = None
    teacher: np.ndarray | None = None
    guide: np.ndarray | None = None
    draws: np.ndarray | None = None
    truth: Truth | None = None
    place: tuple[float, ...] = ()
    views: Mapping[str, Item] = field(default_factory=dict)
    colours: tuple[float, ...] = ()


class ItemMaker(Protocol):
    """Files of one sample -> bytes; picklable; every draw comes from `rng`, in a fixed order."""

    @property
    def frames(self) -> tuple[int, ...]:
        """Offsets of the frames that are read, the predicted one (0) first."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that images are read at, before anything random happens to them."""

    @property
    def filter(self) -> Filter:
        """What images are resampled with on the way to that size."""

    def __call__(self, sample: Sample, rng: np.random.Generator, pictures: Pictures) -> Item:
        """The item of a sample; raises `UserError` when one of its files cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """A frame and its neighbours at network size.

    Draws: a coin for mirroring, then `draw_jitter`.  Source: SGDepth, depth training.

    size, filter, frames: as in `ItemMaker`
    jitter_share: of the samples whose colours change
    any_order: in which order they change is drawn as well, as by Monodepth2
    """

    size: tuple[int, int]
    jitter_share: float = 0.5
    any_order: bool = False
    filter: Filter = "bilinear"
    frames: tuple[int, ...] = (0, -1, 1)

    def __call__(self, sample: Sample, rng: np.random.Generator, pictures: Pictures) -> Item:
        """As `ItemMaker`."""
        flip, jitter = self.draw(rng)
        return Item(
            name=sample.name,
            images={frame: pictures.image(sample.images[frame]) for frame in self.frames},
            K=self.camera(sample),
            flip=flip,
            measured=sample.measured,
            jitter=jitter,
        )

    def draw(self, rng: np.random.Generator) -> tuple[bool, tuple[float, ...]]:
        """Whether a sample is mirrored, and its colours."""
        return bool(rng.random() < 0.5), draw_jitter(rng, self.jitter_share, self.any_order)

    def camera(self, sample: Sample) -> np.ndarray:
        """`RawBatch.K` of a sample."""
        return camera_matrix(sample.intrinsics, *self.size)


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """An image and its training ids, shrunk and cropped alike.

    Draws: a coin for mirroring, `draw_jitter`, then `random_window`.  Source: SGDepth, segmentation training.

    size, filter, frames: as in `ItemMaker`; labels take the nearest neighbour whatever the filter
    crop: (height, width) of the window that the network sees
    jitter_share: of the samples whose colours change
    """

    size: tuple[int, int]
    crop: tuple[int, int]
    jitter_share: float = 1.0
    filter: Filter = "bilinear"
    frames: tuple[int, ...] = (0,)
    _fitting: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __call__(self, sample: Sample, rng: np.random.Generator, pictures: Pictures) -> Item:
        """As `ItemMaker`."""
        flip = bool(rng.random() < 0.5)
        jitter = draw_jitter(rng, self.jitter_share)
        images = {frame: pictures.image(sample.images[frame]) for frame in self.frames}
        window = random_window(rng, self.size, self.crop)
        labels = shrink_labels(pictures.labels(sample.labels, sample.labels_mode), window)
        self._require_fitting_labels(sample)
        return Item(
            name=sample.name,
            images={frame: shrink_image(image, window) for frame, image in images.items()},
            K=camera_matrix(sample.intrinsics, *self.crop),
            flip=flip,
            measured=sample.measured,
            jitter=jitter,
            labels=labels,
        )

    def _require_fitting_labels(self, sample: Sample) -> None:
        """Raises `UserError` unless labels fit their image; looks at every file once in a process."""
        if sample.labels not in self._fitting:
            image = sample.images[0]
            _require_same_shape(sample.labels, image_size(sample.labels), image, image_size(image))
            self._fitting.add(sample.labels)


def evaluation_item(spec: LoaderSpec, sample: Sample, size: tuple[int, int], filter: Filter = "bilinear") -> Item:
    """Images resized to `size` (height, width), and truth at its own size; nothing is drawn.

    Of both there is what the window of the loader leaves.

    Raises:
        UserError: when a file cannot be used, or truth does not fit its image.
    """
    pictures = {frame: open_rgb(sample.images[frame]) for frame in spec.frames}
    image = np.asarray(pictures[0])
    depth = read_depth(sample.depth) if sample.depth else None
    labels = read_labels(sample.labels, sample.labels_mode) if sample.labels else None
    if DATASETS[spec.dataset].truth_raster == "image":
        if depth is not None:
            _require_same_shape(sample.depth.path, depth.shape, sample.images[0], image.shape)
        if labels is not None:
            _require_same_shape(sample.labels, labels.shape, sample.images[0], image.shape)
    intrinsics = sample.intrinsics
    if spec.window:
        window = spec.window.on(image.shape[:2] if depth is None else depth.shape)
        intrinsics = window.intrinsics(intrinsics, image.shape[:2])
        pictures = {frame: picture.crop(window.box(picture.size[::-1])) for frame, picture in pictures.items()}
        image = np.asarray(pictures[0])
        depth = None if depth is None else depth[window.slices(depth.shape)]
    return Item(
        name=sample.name,
        images={frame: resize_image(picture, size, filter) for frame, picture in pictures.items()},
        K=camera_matrix(intrinsics, *size),
        truth=Truth(name=sample.name, image=image, depth=depth, labels=labels, pose=sample.pose),
    )


def video_items(args: Namespace, filter: Filter = "bilinear") -> Video:
    """Frames of --depth-training-loaders with their neighbours, for the network at --depth-resize-height/-width."""
    jitter = {} if args.train_color_jitter == "on" else {"jitter_share": 0.0}
    return Video(size=(args.depth_resize_height, args.depth_resize_width), filter=filter, **jitter)


def labelled_items(args: Namespace) -> Labelled:
    """Images of --segmentation-training-loaders with their labels.

    Raises:
        UserError: when such loaders are named and the crop may not fit in an image, or differs from the images of
            --depth-training-loaders.
    """
    size = (args.segmentation_resize_height, args.segmentation_resize_width)
    crop = (args.segmentation_crop_height, args.segmentation_crop_width)
    if args.segmentation_training_loaders:
        _check_crop(size, crop)
        if args.depth_training_loaders:
            _check_common_size((args.depth_resize_height, args.depth_resize_width), crop)
    jitter = {} if args.train_color_jitter == "on" else {"jitter_share": 0.0}
    return Labelled(size=size, crop=crop, **jitter)


def _check_crop(size: tuple[int, int], crop: tuple[int, int]) -> None:
    for side, whole, least, wanted in zip(("height", "width"), size, smallest_size(*size), crop, strict=True):
        if wanted > least:
            raise UserError(
                f"--segmentation-crop-{side} {wanted}: images of --segmentation-resize-{side} {whole} "
                f"shrink by up to {RESCALE_MAX:g}, to {least}; crop at most {least} or resize to at least "
                f"{math.ceil(wanted * RESCALE_MAX)}"
            )


def _check_common_size(depth: tuple[int, int], crop: tuple[int, int]) -> None:
    if depth != crop:
        raise UserError(
            f"--depth-resize-height/-width {depth[0]} x {depth[1]} and --segmentation-crop-height/-width "
            f"{crop[0]} x {crop[1]} differ; one network pass takes both, so make them equal"
        )


def draw_jitter(rng: np.random.Generator, share: float, any_order: bool = False) -> tuple[float, ...]:
    """Row of `RawBatch.jitter`; as many numbers are drawn where colours stay as they are."""
    factors = [rng.uniform(low, high) for low, high in JITTER_RANGES]
    applied = rng.random() < share
    order = rng.integers(len(ORDERS)) if any_order else 0
    return (*factors, 1.0 + order) if applied else UNCHANGED


def _require_same_shape(path: str, truth: Sequence[int], image_path: str, image: Sequence[int]) -> None:
    """Raises `UserError` unless truth is about as wide for its height as its image, whatever its size.

    truth, image: shapes that begin with height and width
    """
    if is_stretched(truth, image):
        raise UserError(misfit(path, truth, image_path, image))
