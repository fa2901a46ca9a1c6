"""Processes that read files for a loader: how they start, and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from argparse import Namespace
from multiprocessing.queues import Queue
from typing import Any

import torch

from errors import UserError
from storage.allocator import give_back_large_blocks

from .batch import RawBatch
from .dataset import Failure


def loader_options(args: Namespace, evaluation: bool = False) -> dict[str, Any]:
    """What every `DataLoader` is made with, of training or of evaluation."""
    on_cuda = args.sys_device in ("auto", "cuda") and not args.sys_cpu
    # Others than forked workers, the default of newer Pythons, do not notice that their parent was killed.
    forked = "fork" if args.sys_num_workers and sys.platform == "linux" else None
    # A loader draws a number whenever it begins; from the common stream, a run that goes on would be a number ahead.
    return {
        "num_workers": args.sys_num_workers,
        "collate_fn": _same,
        "worker_init_fn": _start_evaluation_worker if evaluation else _start_worker,
        "pin_memory": on_cuda and torch.cuda.is_available(),
        "generator": torch.Generator(),
        "multiprocessing_context": forked,
    }


def _same(batch: RawBatch | Failure) -> RawBatch | Failure:
    return batch


def checked(batch: RawBatch | Failure) -> RawBatch:
    """The batch; raises `UserError` where it is a mistake that a worker met."""
    if isinstance(batch, Failure):
        raise UserError(batch.sentence)
    return batch


def _start_evaluation_worker(number: int) -> None:
    """Evaluation reads few and large things; training many small ones, for which keeping memory is faster."""
    give_back_large_blocks()
    _start_worker(number)


def _start_worker(_: int) -> None:
    """Workers outlive signals to all processes, so that training can finish its step and save; they end with it."""
    # Of a batch that cannot be passed on nothing is heard; a worker that ends is missed.
    Queue._on_queue_feeder_error = staticmethod(lambda error, batch: os._exit(1))
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_for_parent, daemon=True).start()
    if hasattr(os, "setpgid"):  # Windows has no groups
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)


def _end_for_parent() -> None:
    """End at a SIGTERM of the process that started this one; job schedulers send theirs to all processes of a run."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
