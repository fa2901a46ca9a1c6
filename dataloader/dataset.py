"""One item at a time: files to bytes, with every random draw a function of (seed, epoch, pass, index)."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from errors import UserError

from .batch import UNCHANGED, RawBatch, Truth, camera_matrix
from .cache.teacher import LoaderMaps
from .catalog import LoaderSpec
from .damage import SKIP_HINT, Damaged
from .files import image_size, open_rgb, read_depth, read_labels
from .pictures import DecodedPictures, Pictures
from .samples import Sample
from .transforms import random_window, resize_image, shrink_image, shrink_labels

ORDER, ITEM, SUBSTITUTE = 0, 1, 2
"""Separate random streams: the order of samples, what happens to one, what takes the place of a damaged one."""
JITTER_RANGES = ((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1))
"""Brightness, contrast, saturation, hue."""
STRETCH = 0.1
"""How much (natural logarithm) truth may be wider for its height than its image; resized images differ by rounding."""
JITTER_SHARE = {"depth": 0.5, "segmentation": 1.0}


class Key(NamedTuple):
    """Which sample, and which time it is drawn."""

    epoch: int
    number: int
    """Pass over the data set within the epoch."""
    index: int


class Failure(NamedTuple):
    """The sentence of a `UserError`, on its way from a worker to the main process."""

    sentence: str


def stream(seed: int, spec: LoaderSpec, purpose: int, *place: int) -> np.random.Generator:
    """Random numbers for one place in training; the same for any worker, process or start."""
    return np.random.default_rng([seed, zlib.crc32(spec.domain.encode()), purpose, *place])


@dataclass(frozen=True)
class _Item:
    name: str
    images: list[np.ndarray]  # (3, H, W) uint8 per frame
    K: np.ndarray
    flip: bool = False
    jitter: tuple[float, ...] = UNCHANGED
    labels: np.ndarray | None = None
    teacher: np.ndarray | None = None  # (1, H, W) or (N, s, s) float32
    truth: Truth | None = None


def _collate(spec: LoaderSpec, items: Sequence[_Item]) -> RawBatch:
    labels = [item.labels for item in items if item.labels is not None]
    maps = [item.teacher for item in items if item.teacher is not None]
    return RawBatch(
        spec=spec,
        frames=spec.frames,
        images=_stacked([item.images for item in items]),
        K=torch.from_numpy(np.stack([item.K for item in items])),
        flip=torch.tensor([item.flip for item in items]),
        jitter=torch.tensor([item.jitter for item in items], dtype=torch.float32),
        labels=torch.from_numpy(np.stack(labels)) if labels else None,
        teacher=torch.from_numpy(np.stack(maps)) if maps else None,
        truth=tuple(item.truth for item in items if item.truth is not None),
        names=tuple(item.name for item in items),
    )


def _stacked(images: Sequence[Sequence[np.ndarray]]) -> torch.Tensor:
    """Frames (3, H, W) of every item -> (B, F, 3, H, W) uint8; every byte is copied once, also from a cache."""
    batch = torch.empty((len(images), len(images[0]), *images[0][0].shape), dtype=torch.uint8)
    pixels = batch.numpy()
    for place, frames in enumerate(images):
        for frame, image in enumerate(frames):
            pixels[place, frame] = image
    return batch


class TrainingSet:
    """Training samples of one loader; asked for with lists of `Key`, answers with whole batches.

    Args:
        spec: the loader
        samples: what it found
        size: (height, width) images are resized to; in segmentation before they are shrunk and cropped
        crop: (height, width) of the window taken in segmentation; unused for depth
        seed: root of all draws
        jitter: whether colours are changed
        maps: what a teacher said about the predicted frames; None without
        substitutes: samples that are tried in place of one with a damaged file; 0: such a file is an error

    Attributes:
        pictures: where images and labels of `size` come from; decodes them unless replaced by a cache
    """

    def __init__(
        self,
        spec: LoaderSpec,
        samples: list[Sample],
        *,
        size: tuple[int, int],
        crop: tuple[int, int] = (0, 0),
        seed: int = 1,
        jitter: bool = True,
        maps: LoaderMaps | None = None,
        substitutes: int = 0,
    ):
        self.spec, self.samples, self.size, self.crop, self.seed = spec, samples, size, crop, seed
        self.jitter_share = JITTER_SHARE[spec.purpose] if jitter else 0.0
        self.maps, self.substitutes = maps, substitutes
        self.pictures: Pictures = DecodedPictures(size)
        self._fitting: set[str] = set()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, keys: Sequence[Key]) -> RawBatch | Failure:
        """The batch of these keys, or what is wrong with one of its files."""
        damaged: list[Damaged] = []
        try:
            batch = _collate(self.spec, [self._sound_item(key, damaged) for key in keys])
        except UserError as fault:
            return Failure(str(fault))
        return replace(batch, damaged=tuple(damaged)) if damaged else batch

    def _sound_item(self, key: Key, damaged: list[Damaged]) -> _Item:
        """The item of a key, if need be of another sample; samples that were tried in vain are added to `damaged`."""
        first = len(damaged)
        for index in self._candidates(key):
            try:
                return self._item(key, self.samples[index])
            except UserError as fault:
                damaged.append(Damaged(self.spec.domain, index, str(fault)))
        sentence, tried = damaged[first].sentence, len(damaged) - first - 1
        if not self.substitutes:
            raise UserError(f"{sentence}, {SKIP_HINT}")
        raise UserError(f"{sentence}; {tried} samples of {self.spec.name} were tried in its place, all are damaged")

    def _candidates(self, key: Key) -> Iterator[int]:
        """Number of the sample that is asked for, then of those that may take its place."""
        yield key.index
        if self.substitutes:
            others = stream(self.seed, self.spec, SUBSTITUTE, *key).permutation(len(self.samples)).tolist()
            yield from itertools.islice((index for index in others if index != key.index), self.substitutes)

    def _item(self, key: Key, sample: Sample) -> _Item:
        rng = stream(self.seed, self.spec, ITEM, *key)
        flip = bool(rng.random() < 0.5)
        jitter = self._draw_jitter(rng)
        images = [self.pictures.image(sample.images[frame]) for frame in self.spec.frames]
        height, width, labels = *self.size, None
        if self.spec.purpose == "segmentation":
            window = random_window(rng, self.size, self.crop)
            images = [shrink_image(image, window) for image in images]
            labels = shrink_labels(self.pictures.labels(sample.labels, sample.labels_mode), window)
            self._check_labels(sample)
            height, width = self.crop
        return _Item(
            name=sample.name,
            images=images,
            K=camera_matrix(sample.intrinsics, height, width),
            flip=flip,
            jitter=jitter,
            labels=labels,
            teacher=self.maps(sample, key.epoch) if self.maps else None,
        )

    def _check_labels(self, sample: Sample) -> None:
        """Raises `UserError` unless labels fit their image; looks at every file once in a process."""
        if sample.labels not in self._fitting:
            _check_shape(sample.labels, image_size(sample.labels), sample.images[0], image_size(sample.images[0]))
            self._fitting.add(sample.labels)

    def _draw_jitter(self, rng: np.random.Generator) -> tuple[float, ...]:
        factors = [rng.uniform(low, high) for low, high in JITTER_RANGES]
        applied = rng.random() < self.jitter_share
        return (*factors, 1.0) if applied else UNCHANGED


class EvaluationSet:
    """Evaluation samples of one loader; asked for with lists of indices, answers with whole batches.

    Images are resized to `size` (height, width); truth keeps its own size.
    """

    def __init__(self, spec: LoaderSpec, samples: list[Sample], *, size: tuple[int, int]):
        self.spec, self.samples, self.size = spec, samples, size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: Sequence[int]) -> RawBatch | Failure:
        """The batch of these samples, or what is wrong with one of its files."""
        try:
            return _collate(self.spec, [self._item(self.samples[index]) for index in indices])
        except UserError as fault:
            return Failure(str(fault))

    def _item(self, sample: Sample) -> _Item:
        pictures = [open_rgb(sample.images[frame]) for frame in self.spec.frames]
        image = np.asarray(pictures[0])
        depth = read_depth(sample.depth) if sample.depth else None
        labels = read_labels(sample.labels, sample.labels_mode) if sample.labels else None
        if depth is not None:
            _check_shape(sample.depth.path, depth.shape, sample.images[0], image.shape)
        if labels is not None:
            _check_shape(sample.labels, labels.shape, sample.images[0], image.shape)
        return _Item(
            name=sample.name,
            images=[resize_image(picture, self.size) for picture in pictures],
            K=camera_matrix(sample.intrinsics, *self.size),
            truth=Truth(name=sample.name, image=image, depth=depth, labels=labels, pose=sample.pose),
        )


def _check_shape(path: str, truth: Sequence[int], image_path: str, image: Sequence[int]) -> None:
    """Raises `UserError` unless truth is about as wide for its height as its image, whatever its size.

    truth, image: shapes that begin with height and width
    """
    (height, width), (image_height, image_width) = truth[:2], image[:2]
    if abs(math.log(max(width, 1) * image_height / (max(height, 1) * image_width))) > STRETCH:
        raise UserError(
            f"{path}: {height} x {width} (height x width) does not fit the image {image_path} of "
            f"{image_height} x {image_width}; give the two the same size"
        )
