"""Batches on the device, in the order in which they came."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from dataloader import prefetch
from dataloader.batch import RawBatch, tensors, to_device
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


def test_the_stream_of_the_network_keeps_all_tensors_of_a_batch(monkeypatch):
    inner = replace(raw(2), depth=torch.ones(1, 1, 4, 4))
    batch = to_device(replace(raw(1), views={"crop": replace(inner, views={"deep": raw(3)})}), "cpu")
    main, waited, kept = SimpleNamespace(wait_stream=lambda other: waited.append(other)), [], []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: kept.append((id(tensor), stream)))
    side = SimpleNamespace(device="cuda:0")
    prefetch._hand_over([batch], side)
    assert waited == [side] and all(stream is main for _, stream in kept)
    crop = batch.views["crop"]
    wanted = (batch.images[0], batch.inputs[0], batch.K, crop.depth, crop.images[0], crop.views["deep"].inv_K)
    assert {id(tensor) for tensor in wanted} <= {number for number, _ in kept}
    assert len(kept) == len(list(tensors(batch)))
