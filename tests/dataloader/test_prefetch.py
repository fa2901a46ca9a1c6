"""Batches on the device, in the order in which they came."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from dataloader.batch import RawBatch
from dataloader.prefetch import on_device

SPEC = SimpleNamespace(dataset="kitti", purpose="depth")


def raw(level: int) -> RawBatch:
    return RawBatch(
        SPEC,
        (0,),
        torch.full((1, 1, 3, 4, 4), level, dtype=torch.uint8),
        torch.eye(4)[None],
        torch.tensor([False]),
        torch.zeros(1, 5),
    )


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
)
def test_steps_keep_their_order_and_loaders(device):
    times = []

    @contextmanager
    def timed():
        times.append(1)
        yield

    steps = [(raw(3 * i), raw(3 * i + 1)) for i in range(4)]
    found = [[round(batch.images[0].mean().item() * 255) for batch in step] for step in on_device(steps, device, timed)]
    assert found == [[0, 1], [3, 4], [6, 7], [9, 10]] and len(times) == 4
    assert list(on_device([], device)) == []
