"""Threads that work ahead of what is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def started_ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], count: int
) -> Iterator[tuple[Item, Future[Result]]]:
    """Every item with the future of its work, in order, `count` of them started in advance."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(work, item)))
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting


def map_ahead(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], count: int
) -> Iterator[Result]:
    """Results of `work` in the order of the items, `count` of them made ahead; raises what `work` raises."""
    return (future.result() for _, future in started_ahead(pool, work, items, count))


def map_shown(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Sequence[Item], what: str, unit: str
) -> Iterator[Result]:
    """Results of `work` in the order of the items, with their progress, titled `what`, where that takes long."""
    return iter(Progress(pool.map(work, items), unit, what, len(items), passing=True))
