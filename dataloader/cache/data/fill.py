"""Filling a cache: what is missing is decoded by threads and kept in shards; an interrupted run goes on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from errors import UserError
from storage.ahead import started_ahead
from storage.atomic import require_room
from storage.lock import wait_for
from storage.progress import Progress

from ...pictures import DecodedPictures
from ..teacher.maps import FileState
from .folder import DataCache
from .pictures import Picture
from .shards import SUFFIX, Content, Entry, Made, Place, write_shard

SHARD_BYTES = 1 << 26
"""Pixels of a shard; a writer that is killed loses two shards at most."""
ABANDONED = 3600.0  # seconds without a change after which an unfinished file has no writer any more


def provide(
    folder: str | Path,
    pictures: Iterable[Picture],
    *,
    threads: int,
    tell: Callable[[str], None],
    faults: dict[Picture, str] | None = None,
) -> dict[Picture, Place]:
    """Make what is missing in a cache.

    Args:
        folder: the cache; made where it is missing.
        pictures: what must be in it.
        threads: that decode.
        tell: takes sentences about what there is and what is to do.
        faults: takes pictures that cannot be made, with a sentence about each; None: the first of them is an error.

    Returns:
        Where every picture is that could be made.

    Raises:
        UserError: when the folder is no such cache or of another version, a shard or an image is damaged, or the disk
            is too small or cannot be written.
    """
    cache = DataCache(folder)
    found = cache.find(pictures)
    _keep_times(cache, found)
    if not all(found.values()):
        with _alone(cache.folder, tell):
            cache.refresh()  # what another process has made meanwhile
            found |= cache.find(_lacking(found))
            _fill(cache.folder, found, threads, tell, faults)
    else:
        tell(f"{folder}: all of {len(found)} pictures are there")
    return {picture: entry.place for picture, entry in found.items() if entry}


def _lacking(found: Mapping[Picture, Entry | None]) -> list[Picture]:
    return [picture for picture, entry in found.items() if entry is None]


@contextlib.contextmanager
def _alone(folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Waits for other processes that fill the folder; they may be making the same pictures."""
    try:
        with (folder / ".lock").open("a") as lock:
            wait_for(lock, lambda: tell(f"{folder}: another process is filling it; waiting for that"))
            yield
    except OSError as fault:
        raise _unwritable(folder, fault) from fault


def _unwritable(folder: Path, fault: OSError) -> UserError:
    return UserError(
        f"{folder}: cannot write there ({fault.strerror}); make room or choose another folder, what is finished is kept"
    )


def _fill(
    folder: Path,
    found: dict[Picture, Entry | None],
    threads: int,
    tell: Callable[[str], None],
    faults: dict[Picture, str] | None,
) -> None:
    """Make the pictures without an entry, and set it."""
    lacking = _lacking(found)
    if not lacking:
        return
    _sweep(folder)
    _check_room(folder, found, lacking, tell)
    with Progress(unit="pictures", title="fill the data cache", total=len(lacking)) as bar:
        for content in dict.fromkeys(picture.content for picture in lacking):
            pictures = [picture for picture in lacking if picture.content == content]
            entries = _make_shards(folder, content, pictures, threads, bar, faults)
            found |= zip((each for each in pictures if each not in (faults or ())), entries, strict=True)


def _sweep(folder: Path) -> None:
    """Deletes what writers left that were killed."""
    for path in folder.glob(f".*{SUFFIX}.*.tmp"):
        with contextlib.suppress(OSError):  # its writer has finished it at this moment
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _check_room(
    folder: Path, wanted: Collection[Picture], lacking: Sequence[Picture], tell: Callable[[str], None]
) -> None:
    room = require_room(
        folder,
        sum(picture.content.bytes for picture in lacking),
        f"{len(lacking)} pictures need about {{needed}}, {{free}} are free; make room, choose another disk, or go "
        "without a data cache",
    )
    there = len(wanted) - len(lacking)
    tell(f"{folder}: {there} of {len(wanted)} pictures are there, {len(lacking)} to make: {room}")


def _make_shards(
    folder: Path,
    content: Content,
    pictures: Sequence[Picture],
    threads: int,
    bar: Progress,
    faults: dict[Picture, str] | None,
) -> list[Entry]:
    """Entries of the pictures, all of one content; when interrupted, those that are finished are kept."""
    writes: list[Future[list[Entry]]] = []
    limit, batch = max(1, SHARD_BYTES // content.bytes), []
    with ThreadPoolExecutor(threads) as readers, ThreadPoolExecutor(1) as writer:
        try:
            for picture, made in started_ahead(readers, _make, pictures, 2 * threads):
                try:
                    batch.append(made.result())
                except UserError as fault:
                    if faults is None:
                        raise
                    faults[picture] = str(fault)
                bar.update()
                if len(batch) == limit:
                    writes.append(writer.submit(write_shard, folder, content, batch))
                    batch = []
                    if len(writes) > 1:
                        writes[-2].result()  # one is written while the next is made, no more
        finally:
            readers.shutdown(wait=False, cancel_futures=True)
            if batch:
                writes.append(writer.submit(write_shard, folder, content, batch))
    return [entry for write in writes for entry in write.result()]


def _make(picture: Picture) -> Made:
    content = picture.content
    size = (content.height, content.width)
    try:
        state = FileState.of(picture.path)  # before its pixels: if it changes in between, it is made again next time
    except OSError as fault:
        raise UserError(f"{picture.path}: cannot be read ({fault.strerror}); check the file") from fault
    if content.filter:
        pixels = DecodedPictures(size, content.filter).image(picture.path)
    else:
        pixels = DecodedPictures(size).labels(picture.path, content.kind)
    return Made(picture.key, os.path.abspath(picture.path), state, np.ascontiguousarray(pixels))


def _keep_times(cache: DataCache, found: Mapping[Picture, Entry | None]) -> None:
    """Notes new times of unchanged files, which would otherwise be read and compared at every start."""
    renewed: dict[Content, list[Entry]] = {}
    for picture, entry in found.items():
        if entry and not cache.knows(picture.content, entry):
            renewed.setdefault(picture.content, []).append(entry)
    for content, entries in renewed.items():
        with contextlib.suppress(OSError):  # a folder that cannot be written costs time, not results
            write_shard(cache.folder, content, (), entries)
