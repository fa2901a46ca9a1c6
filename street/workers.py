"""Share jobs among processes that end together with the run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import cv2

from errors import UserError

Job = tuple[Callable[..., int], tuple]  # a function and its first arguments; it gets a stop check as the last one


def run_jobs(jobs: list[Job], workers: int, report: Callable[[int], object]) -> None:
    """Work the jobs off, one OpenCV thread per process.

    Args:
        jobs: what to do; each returns a count.
        workers: number of processes; 1 means this one.
        report: called with the count of every job as it ends.
    """
    if workers == 1 or len(jobs) < 2:
        _run_here(jobs, report)
        return
    context = get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(stop,)) as pool:
        try:
            for future in as_completed([pool.submit(_run_in_worker, *job) for job in jobs]):
                report(future.result())
        except BrokenProcessPool as error:
            raise UserError(
                f"--workers {workers}: a process was killed, perhaps for want of memory; "
                "run again with fewer, what is finished is kept"
            ) from error
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _run_here(jobs: list[Job], report: Callable[[int], object]) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for function, arguments in jobs:
            report(function(*arguments, lambda: None))
    finally:
        cv2.setNumThreads(threads)


_stop: Event | None = None  # set once in each worker process


def _start_worker(stop: Event) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to stop
    cv2.setNumThreads(1)


def _run_in_worker(function: Callable[..., int], arguments: tuple) -> int:
    return function(*arguments, _check_stop)


def _check_stop() -> None:
    if _stop is not None and _stop.is_set():
        raise KeyboardInterrupt
