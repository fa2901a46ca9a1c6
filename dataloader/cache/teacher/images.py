"""What images are called inside a cache: by data set and relative path, so that both can be moved."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ...catalog import DATASETS, LoaderSpec

_LONGEST = 200  # characters of a file name, with room for what is added; file systems take 255 bytes


class CachedImage(NamedTuple):
    """An image that has a map: its name within the cache, and its file."""

    key: str
    path: str


def image_root(spec: LoaderSpec, dataset_dir: str | Path, data_folder: str = "") -> Path:
    """Folder that the names of a loader's images start from, so that data sets can be moved."""
    return Path(data_folder) if spec.dataset == "folder" else Path(dataset_dir) / DATASETS[spec.dataset].folder


def cached_image(spec: LoaderSpec, root: str | Path, path: str) -> CachedImage:
    """An image of a loader; its key is a relative path that stays inside the cache whatever the image is called."""
    parts = os.path.relpath(path, root).split(os.sep)
    return CachedImage("/".join([spec.dataset, *(_harmless(part) for part in parts)]), path)


def _harmless(part: str) -> str:
    name = quote(os.fsencode(part), safe=" ")
    if part in (".", ".."):
        return name.replace(".", "%2E")
    if len(name) > _LONGEST:
        return f"{name[: _LONGEST // 2]}~{hashlib.sha256(os.fsencode(part)).hexdigest()[:32]}"
    return name
