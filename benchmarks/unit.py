"""The unit of speed: seconds of one machine are not those of another, so times are given as multiples of this."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
import torchvision

THREADS = 2


def seconds(run: Callable[[], object], repeats: int = 5, warm_up: int = 2) -> float:
    """Median time of `run` until it and the GPU, where there is one, are done; seconds."""
    times = []
    for _ in range(warm_up + repeats):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return median(times[warm_up:])


def unit_step(device: str = "cpu") -> Callable[[], None]:
    """Forward and backward pass of torchvision's ResNet-18 on four 192x640 images, float32, training mode."""
    torch.set_num_threads(THREADS)
    model = torchvision.models.resnet18().train().to(device)
    images = torch.randn(4, 3, 192, 640, device=device)

    def step() -> None:
        model.zero_grad()
        model(images).sum().backward()

    return step
