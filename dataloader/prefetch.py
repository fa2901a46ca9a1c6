"""Batches on their way to the device, one ahead of the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from .batch import Batch, RawBatch, tensors, to_device


def on_device(
    steps: Iterable[Sequence[RawBatch]],
    device: torch.device | str,
    timed: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[list[Batch]]:
    """The batches of every step on the device.

    On a GPU the next step is copied, mirrored and jittered on a stream of its own while the network works on this one;
    its bytes must lie in page-locked memory for that. `timed` makes a context around that work.
    """
    device = torch.device(device)
    if device.type != "cuda":
        for step in steps:
            with timed():
                batches = [to_device(raw, device) for raw in step]
            yield batches
        return
    side = torch.cuda.Stream(device)
    waiting: list[Batch] = []
    for step in steps:
        with timed(), torch.cuda.stream(side):
            coming = [to_device(raw, device) for raw in step]
        if waiting:
            yield waiting
        waiting = coming
        _hand_over(waiting, side)
    if waiting:
        yield waiting


def stream(batches: Iterable[RawBatch], device: torch.device | str) -> Iterator[Batch]:
    """Single batches on the device, see `on_device`."""
    for (batch,) in on_device(((raw,) for raw in batches), device):
        yield batch


def _hand_over(batches: Sequence[Batch], side: torch.cuda.Stream) -> None:
    """Let the stream of the network wait for the copies, and keep their memory until it has used them."""
    main = torch.cuda.current_stream(side.device)
    main.wait_stream(side)
    for batch in batches:
        for tensor in tensors(batch):
            tensor.record_stream(main)
