"""Threads that work ahead of what is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
PATIENCE = 2.0  # seconds without a bar


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
    """Results of `work` in the order of the items, with a bar, titled `what`, where that takes long."""
    results = pool.map(work, items)
    bar = {"total": len(items), "desc": what, "unit": unit, "delay": PATIENCE, "mininterval": 0.5}
    return iter(tqdm(results, leave=False, disable=None, **bar))
