"""A cheap look at every file before it is needed, so that damage shows at the start and not after hours.

Only the first and the last bytes are read: what is empty, cut off or something else than an image is found. Damage in
between shows when a file is decoded.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from errors import UserError
from storage.kinds import image_suffixes
from storage.progress import Progress

from .catalog import LoaderSpec
from .files import PNG_SIGNATURE, image_size, open_at_once, open_stored
from .listing import IMAGE_TYPES, on_disk
from .missing import DROP_HINT, first_of
from .parts import container
from .samples import Sample
from .velodyne import CAMERA_FILE, SCANNER_FILE

log = logging.getLogger(__name__)

LIMIT = 20.0  # seconds; slow network folders are left to the decoder after that
THREADS = 16  # waiting for the disk, not computing
SUFFIXES = image_suffixes()
GROUP = 64  # files a thread takes at a time
TAIL = 1024  # bytes; cameras may append a few to the picture
PNG_TRAILER = b"IEND\xaeB`\x82"
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"

_sound: set[str] = set()  # training and validation share files; nobody should wait for the same ones twice


def needed(sample: Sample) -> Iterator[str]:
    """Paths of everything that is read for one sample."""
    yield from map(container, sample.images.values())
    if sample.labels:
        yield sample.labels
    for each in (sample.dense, sample.base):
        if each is not None:
            yield container(each.path)
    if sample.depth is not None:
        yield container(sample.depth.path)
        match sample.depth.kind:
            case "velodyne":
                yield from (str(on_disk(Path(sample.depth.calibration) / name)) for name in (CAMERA_FILE, SCANNER_FILE))
            case "disparity" | "stereo" if sample.depth.calibration:
                yield sample.depth.calibration


def find_damaged(paths: Iterable[str], limit: float = LIMIT) -> dict[str, str]:
    """Files that cannot be used, with a sentence about each.

    Files found sound earlier in this process are not looked at again.

    Args:
        paths: of any files; those that are no images by name only have to be there and not empty
        limit: seconds after which the rest is left unseen, which is logged
    """
    wanted = [path for path in dict.fromkeys(paths) if path not in _sound]
    deadline = time.monotonic() + limit
    pool = ThreadPoolExecutor(THREADS)
    faults: dict[str, str] = {}
    looked = 0
    try:
        groups = (wanted[start : start + GROUP] for start in range(0, len(wanted), GROUP))
        with Progress(unit="files", title="look at files", total=len(wanted), passing=True) as bar:
            for found in pool.map(lambda group: _look(group, deadline), groups):
                faults |= {path: fault for path, fault in found.items() if fault}
                _sound.update(path for path, fault in found.items() if not fault)
                looked += len(found)
                bar.update(len(found))
    finally:
        pool.shutdown(cancel_futures=True)
    if looked < len(wanted):
        log.info(
            "looked at %d of %d files in %.0f seconds; damage in the others shows when they are read",
            looked,
            len(wanted),
            limit,
        )
    return faults


def _look(paths: Sequence[str], deadline: float) -> dict[str, str]:
    """What is wrong with each file, empty where nothing is; without those that were not reached in time."""
    found = {}
    for path in paths:
        if time.monotonic() >= deadline:
            break
        found[path] = _fault(path)
    return found


def _fault(path: str) -> str:
    kind = path.lower()
    other = kind.endswith(SUFFIXES) and not kind.endswith(IMAGE_TYPES)
    if not other and _looks_sound(path, kind.endswith(IMAGE_TYPES)):
        return ""
    try:
        _ = image_size(path) if other else open_stored(path)  # has the last word, and the words
    except UserError as fault:
        return str(fault)
    return ""


def _looks_sound(path: str, is_image: bool) -> bool:
    try:
        with open(path, "rb", buffering=0, opener=open_at_once) as file:
            size = os.fstat(file.fileno()).st_size
            if not is_image:
                return size > 0
            head = file.read(len(PNG_SIGNATURE))
            file.seek(max(size - TAIL, 0))
            tail = file.read(TAIL)
    except OSError:
        return False
    if head == PNG_SIGNATURE:
        return PNG_TRAILER in tail
    return head.startswith(JPEG_START) and JPEG_END in tail


def without_damaged(spec: LoaderSpec, samples: list[Sample], faults: Mapping[str, str], drop: bool) -> list[Sample]:
    """The samples of one loader that need no damaged file; what was left out is logged.

    Args:
        spec: the loader
        samples: what it found
        faults: as from `find_damaged`
        drop: leave samples out; otherwise a damaged file is an error

    Raises:
        UserError: naming the first damaged file and the number of all.
    """
    lacking = [[path for path in needed(sample) if path in faults] for sample in samples] if faults else []
    bad = list(dict.fromkeys(path for paths in lacking for path in paths))
    if not bad:
        return samples
    kept = [sample for sample, paths in zip(samples, lacking, strict=True) if not paths]
    if drop and kept and spec.may_drop:
        log.warning(
            "%s: %d of %d samples left out for %s: %s",
            spec.name,
            len(samples) - len(kept),
            len(samples),
            _counted(len(bad)),
            first_of(bad),
        )
        return kept
    hint = f", {DROP_HINT}" if spec.may_drop and not drop else ""
    others = f"; {_counted(len(bad))} in all, also {first_of(bad[1:])}" if bad[1:] else ""
    nothing = f"; no sample of {spec.name} is left" if not kept else ""
    raise UserError(f"{faults[bad[0]]}{hint}{others}{nothing}")


def _counted(count: int) -> str:
    return f"{count} damaged file{'' if count == 1 else 's'}"
