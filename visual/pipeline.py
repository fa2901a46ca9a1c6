"""Files that are read and written beside a network at work."""

from __future__ import annotations

import errno
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from errors import UserError
from storage.ahead import started_ahead
from storage.progress import Progress

from .results import Found, Job, ResultFolder

FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk: no later image would fit either


class Predictor(Protocol):
    """A network in use: what it sees in images, as many at once as `batch`."""

    batch: int

    def __call__(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Images (h, w, 3) uint8 RGB -> what is in them."""


def pipeline(
    items: Iterable,
    decode: Callable[[Any], Job | None],
    predictor: Predictor,
    outputs: ResultFolder,
    write: Callable[[Job, Found], None],
    *,
    threads: int,
    total: int,
    what: str,
) -> int:
    """Decode, predict and write with files handled beside the network; returns the number of failures.

    Order is kept, and the number of images in memory does not grow with theirs; a `decode` that returns None ends it.
    """
    failed = 0
    ahead = threads + predictor.batch  # images decoded before, and pictures not yet written after, those in the network

    def decoded() -> Iterator[Job]:
        nonlocal failed
        waiting = started_ahead(readers, decode, items, ahead)
        for _, future in Progress(waiting, what, total=total):
            try:
                job = future.result()
            except (UserError, OSError) as error:
                failed += 1
                complain(str(error))
                continue
            if job is None:
                return
            yield job

    def predicted() -> Iterator[tuple[Job, Found]]:
        jobs = decoded()
        while batch := list(itertools.islice(jobs, predictor.batch)):
            new = [job.view.pixels for job in batch if job.found is None]
            results = iter(predictor(new) if new else ())
            for job in batch:
                found = job.found or next(results)
                outputs.require(found)
                yield job, found.cut(job.view.inside, job.view.pixels.shape[:2])

    with ThreadPoolExecutor(threads) as readers, ThreadPoolExecutor(threads) as writers:
        for (job, _), future in started_ahead(writers, lambda pair: write(*pair), predicted(), ahead):
            try:
                future.result()
            except UserError as error:
                failed += 1
                complain(f"{job.name}: {error}")
            except (OSError, ValueError) as error:
                if getattr(error, "errno", None) in FULL:
                    raise
                failed += 1
                complain(f"{job.name}: cannot be written ({error})")
    return failed


def complain(sentence: str) -> None:
    """Say on stderr what went wrong, beside a bar."""
    tqdm.write(f"error: {' '.join(sentence.split())}", file=sys.stderr)
