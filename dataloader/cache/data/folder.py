"""The folder of a cache: whether it is one, and what it holds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from errors import UserError
from storage.ahead import map_shown

from ...described import describe
from ...parts import container
from ..teacher.maps import FileState
from .pictures import Picture
from .shards import SUFFIX, Content, Entry, read_index

META = "data_cache.json"
RECIPE = {"format": 1, "images": "bilinear, antialiased", "labels": "nearest"}
"""How pictures are made whose `Content.kind` says nothing else."""
THREADS = 16  # waiting for the disk, not computing


class DataCache:
    """What the shards of a folder hold.

    Args:
        folder: the cache; made where it is missing.

    Raises:
        UserError: when the folder holds other things, is of another version, cannot be written, or a shard is damaged.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._entries: dict[tuple[Content, str], list[Entry]] = {}
        self._shards: set[str] = set()
        if describe(self.folder, META, json.dumps(RECIPE, indent=1).encode() + b"\n", "data cache"):
            self._check_recipe()
        self.refresh()

    def _check_recipe(self) -> None:
        path = self.folder / META
        try:
            recipe = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as fault:
            raise UserError(f"{path}: damaged ({fault}); delete the folder or choose another") from fault
        if recipe != RECIPE:
            raise UserError(
                f"{path}: made as {recipe}, this version needs {RECIPE}; delete the folder or choose another"
            )

    def refresh(self) -> None:
        """Take in shards that are new; raises `UserError` when one is damaged."""
        new = sorted(path for path in self.folder.glob(f"*{SUFFIX}") if path.name not in self._shards)
        self._shards.update(path.name for path in new)
        with ThreadPoolExecutor(THREADS) as pool:
            for content, entries in pool.map(read_index, new):
                self.add(content, entries)

    def add(self, content: Content, entries: Iterable[Entry]) -> None:
        """Take in entries of shards that are there."""
        for entry in entries:
            # A shard may speak of another one that was deleted since.
            if entry.place.shard in self._shards:
                self._entries.setdefault((content, entry.key), []).append(entry)

    def find(self, pictures: Iterable[Picture]) -> dict[Picture, Entry | None]:
        """The entry of every picture, with its file as that is now; None where there is none, or the file has changed.

        A file with another time or in another folder, but with the same content, keeps its picture.
        """
        pictures = list(pictures)
        with ThreadPoolExecutor(THREADS) as pool:
            shown = map_shown(pool, self._find, pictures, "look for cached pictures", "pictures")
            return dict(zip(pictures, shown, strict=True))

    def _find(self, picture: Picture) -> Entry | None:
        entries, path = self._entries.get((picture.content, picture.key), ()), os.path.abspath(picture.path)
        try:
            stat = os.stat(container(picture.path))
            alike = [entry for entry in entries if entry.source.size == stat.st_size]
            for entry in alike:
                # Files of another folder may have the name, the length and the time of these.
                if entry.source.mtime == stat.st_mtime_ns and entry.path == path:
                    return entry
            state = FileState.of(picture.path) if alike else None
        except OSError:  # whoever decodes it says what is wrong
            return None
        return next((entry._replace(path=path, source=state) for entry in alike if entry.source.crc == state.crc), None)

    def knows(self, content: Content, entry: Entry) -> bool:
        """Whether an entry is written down with this very state of its file."""
        return entry in self._entries.get((content, entry.key), ())
