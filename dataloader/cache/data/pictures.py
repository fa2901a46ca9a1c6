"""The pictures of a loader: what they are called in a cache, and how training reads them from there."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from errors import UserError

from ...catalog import LoaderSpec
from ...files import open_rgb
from ...samples import Sample
from ...transforms import Filter, Window, resize_window
from ..teacher.images import cached_image
from .shards import REMEDY, Content, Place, image_kind

DESCRIPTORS = "/dev/fd"  # where open files have names; not on Windows


class Picture(NamedTuple):
    """A picture that training needs: its file, its name within a cache, and what is made of it."""

    path: str
    key: str
    content: Content


def pictures_of(
    spec: LoaderSpec, samples: Iterable[Sample], root: str | Path, size: tuple[int, int], filter: Filter = "bilinear"
) -> dict[tuple[str, str], Picture]:
    """All pictures of a loader, every one once, by path and `Content.kind`.

    Args:
        spec: the loader.
        samples: what it found.
        root: as from `image_root`.
        size: (height, width) of training, before anything is cropped.
        filter: what images are resampled with.
    """
    wanted = {}
    for sample in samples:
        wanted |= {(path, image_kind(filter)): None for path in sample.images.values()}
        if sample.labels:
            wanted[sample.labels, sample.labels_mode] = None
    return {
        (path, kind): Picture(path, cached_image(spec, root, path).key, Content(kind, *size)) for path, kind in wanted
    }


class CachedPictures:
    """`Pictures` of one loader from a cache, mapped into memory, where processes share them.

    Args:
        folder: the cache.
        size: (height, width) of all pictures.
        filter: what images were resampled with.
        places: where they are, by path and `Content.kind`.
        faults: sentences about those that could not be made.
    """

    def __init__(
        self,
        folder: str | Path,
        size: tuple[int, int],
        filter: Filter,
        places: Mapping[tuple[str, str], Place],
        faults: Mapping[tuple[str, str], str] | None = None,
    ):
        self.folder, self.size, self.filter = Path(folder), size, filter
        self._places, self._faults = dict(places), dict(faults or {})
        self._maps: dict[str, np.ndarray] = {}
        self._checked: set[tuple[str, str]] = set()

    def __reduce__(self) -> tuple[type, tuple]:
        return type(self), (self.folder, self.size, self.filter, self._places, self._faults)

    def image(self, path: str) -> np.ndarray:
        """RGB of an image file, (3, height, width) uint8; a view of the map.

        Raises:
            UserError: when the shard is damaged or gone, or the picture could not be made.
        """
        return self._read(path, image_kind(self.filter))

    def image_and_window(self, path: str, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """As `image`, and a window of the image file itself, which is decoded for it: a cache has one size.

        Raises:
            UserError: as `image`, or when the file cannot be read.
        """
        return self.image(path), resize_window(open_rgb(path), window, self.filter)

    def labels(self, path: str, mode: str) -> np.ndarray:
        """Training ids of a label file, (height, width) uint8; a view of the map.

        Raises:
            UserError: as `image`.
        """
        return self._read(path, mode)

    def _read(self, path: str, kind: str) -> np.ndarray:
        if (path, kind) in self._faults:
            raise UserError(self._faults[path, kind])
        place, content = self._places[path, kind], Content(kind, *self.size)
        start = place.number * content.bytes
        pixels = self._map(place.shard)[start : start + content.bytes]
        if (path, kind) not in self._checked:  # in each process once
            if len(pixels) != content.bytes or zlib.crc32(pixels) != place.crc:
                raise UserError(
                    f"{self.folder / place.shard}: damaged (wrong checksum of the picture of {path}); {REMEDY}"
                )
            self._checked.add((path, kind))
        return pixels.reshape(content.shape)

    def _map(self, shard: str) -> np.ndarray:
        if shard not in self._maps:
            import torch

            path = self.folder / shard
            try:
                # Maps of numpy and of Python each keep a file open, and a process may have too few for all shards.
                with path.open("rb") as file:
                    name = f"{DESCRIPTORS}/{file.fileno()}"  # PyTorch takes no name that is no UTF-8
                    name = name if os.path.exists(name) else str(path)
                    size = os.fstat(file.fileno()).st_size
                    mapped = torch.from_file(name, size=size, dtype=torch.uint8).numpy()
            except (OSError, RuntimeError) as fault:
                raise UserError(f"{path}: cannot be read ({fault}); start again, which makes it anew") from fault
            mapped.flags.writeable = False
            self._maps[shard] = mapped
        return self._maps[shard]
