"""One item at a time: files to bytes, with every random draw a function of (seed, epoch, pass, index)."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from errors import UserError

from .batch import RawBatch
from .cache.teacher import LoaderMaps
from .catalog import LoaderSpec
from .damage import SKIP_HINT, Damaged
from .items import Item, ItemMaker, evaluation_item
from .pictures import DecodedPictures, Pictures
from .samples import Sample
from .transforms import Filter

ORDER, ITEM, SUBSTITUTE, PAIRS = 0, 1, 2, 3
"""Separate random streams: the order of samples, what happens to one, what takes the place of a damaged one,
which pairs of its pixels are compared."""
DRAWS = (1000, 7)
"""Shape of the draws that pairs are made of, see `losses.ranking.pairs`."""


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
    """Random numbers for one point of training; the same for any worker, rank or start."""
    return np.random.default_rng([seed, zlib.crc32(spec.domain.encode()), purpose, *place])


def _collate(spec: LoaderSpec, items: Sequence[Item]) -> RawBatch:
    """Items as one batch; raises `UserError` where their images, which are cut out of larger ones, differ in size."""
    first = items[0]
    for item in items[1:]:
        (height, width), other = first.images[0].shape[1:], item.images[0].shape[1:]
        if (height, width) != other:
            raise UserError(
                f"{spec.name}: {first.name} is {height} x {width} (height x width), {item.name} {other[0]} x {other[1]}"
                ", and a batch has images of one size; pass --depth-crop-height and --depth-crop-width"
            )
    return RawBatch(
        spec=spec,
        frames=tuple(first.images),
        images=_stacked([[*item.images.values()] for item in items]),
        K=torch.from_numpy(np.stack([item.K for item in items])),
        flip=torch.tensor([item.flip for item in items]),
        measured=torch.tensor([item.measured for item in items]),
        jitter=torch.tensor([item.jitter for item in items], dtype=torch.float32),
        labels=_joined([item.labels for item in items]),
        colours=torch.tensor([item.colours for item in items], dtype=torch.float32) if first.colours else None,
        depth=_joined([item.depth for item in items]),
        dense=_joined([item.dense for item in items]),
        base=_joined([item.base for item in items]),
        teacher=_joined([item.teacher for item in items]),
        guide=_joined([item.guide for item in items]),
        draws=_joined([item.draws for item in items]),
        place=torch.tensor([item.place for item in items], dtype=torch.float32) if first.place else None,
        views={name: _collate(spec, [item.views[name] for item in items]) for name in first.views},
        truth=tuple(item.truth for item in items if item.truth is not None),
        names=tuple(item.name for item in items),
    )


def _joined(arrays: Sequence[np.ndarray | None]) -> torch.Tensor | None:
    """Arrays of every item as one tensor; None where the items have none."""
    there = [array for array in arrays if array is not None]
    return torch.from_numpy(np.stack(there)) if there else None


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
        maker: makes the items
        seed: root of all draws
        maps: what a teacher said about the predicted frames; None without
        guides: what a teacher of whole images said about them; None without
        pairs: epochs in which pairs of pixels are drawn
        substitutes: samples that are tried in place of one with a damaged file; 0: such a file is an error

    Attributes:
        pictures: where images and labels of `maker.size` come from; decodes them unless replaced by a cache
    """

    def __init__(
        self,
        spec: LoaderSpec,
        samples: list[Sample],
        maker: ItemMaker,
        *,
        seed: int = 1,
        maps: LoaderMaps | None = None,
        guides: LoaderMaps | None = None,
        pairs: range = range(0),
        substitutes: int = 0,
    ):
        self.spec, self.samples, self.maker, self.seed = spec, samples, maker, seed
        self.maps, self.guides, self.pairs, self.substitutes = maps, guides, pairs, substitutes
        self.pictures: Pictures = DecodedPictures(maker.size, maker.filter)

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

    def _sound_item(self, key: Key, damaged: list[Damaged]) -> Item:
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

    def _item(self, key: Key, sample: Sample) -> Item:
        item = self.maker(sample, stream(self.seed, self.spec, ITEM, *key), self.pictures)
        further: dict[str, np.ndarray | None] = {}
        if self.maps:
            further["teacher"] = self.maps(sample, key.epoch)
        if self.guides:
            further["guide"] = self.guides(sample, key.epoch)
        if key.epoch in self.pairs:
            further["draws"] = stream(self.seed, self.spec, PAIRS, *key).random(DRAWS, dtype=np.float32)
        return replace(item, **further) if further else item


class EvaluationSet:
    """Evaluation samples of one loader; asked for with lists of indices, answers with whole batches.

    Images are resized to `size` (height, width) with `filter`; truth keeps its own size.
    """

    def __init__(self, spec: LoaderSpec, samples: list[Sample], *, size: tuple[int, int], filter: Filter = "bilinear"):
        self.spec, self.samples, self.size, self.filter = spec, samples, size, filter

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: Sequence[int]) -> RawBatch | Failure:
        """The batch of these samples, or what is wrong with one of its files."""
        try:
            return _collate(self.spec, [self._item(index) for index in indices])
        except UserError as fault:
            return Failure(str(fault))

    def _item(self, index: int) -> Item:
        return evaluation_item(self.spec, self.samples[index], self.size, self.filter)
