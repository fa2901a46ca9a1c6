"""One training step on random 192x640 tensors, 2 triplets and 2 labelled images, without optimiser and data."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import torch

from losses import DepthLoss, DynamicClassMask, Objective, Phase, SegmentationLoss
from losses.step import compare
from models.sgdepth import SGDepth
from perspective_resample.views import synthesise

from .unit import seconds, unit_step

RESAMPLE = partial(synthesise, depth_min=0.1, depth_max=100.0)
PUBLISHED = {"ResNet-18": 5.1, "ResNet-50": 7.8, "ResNet-50, masking": 12.0}  # measured on this kind of machine


def random_batches(size: int = 2, height: int = 192, width: int = 640) -> list[SimpleNamespace]:
    """A depth and a segmentation batch of random numbers."""
    K = torch.eye(4)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = 0.58 * width, 1.92 * height, width / 2, height / 2
    frames = {frame: torch.rand(size, 3, height, width) for frame in (0, -1, 1)}
    common: dict = {"teacher": None, "flip": None}
    common |= {"K": K.expand(size, 4, 4), "inv_K": torch.linalg.inv(K).expand(size, 4, 4)}
    image = torch.rand(size, 3, height, width)
    labels = torch.randint(0, 19, (size, height, width))
    return [SimpleNamespace(spec=SimpleNamespace(purpose="depth"), images=frames, inputs=frames, labels=None, **common),
            SimpleNamespace(spec=SimpleNamespace(purpose="segmentation"), images={0: image}, inputs={0: image},
                            labels=labels, **common)]  # fmt: skip


def step_seconds(layers: int, masking: bool = False, half: bool = False) -> float:
    """Median time of forward and backward pass."""
    torch.manual_seed(0)
    model = SGDepth(layers).to(memory_format=torch.channels_last).train()
    objective = Objective(DepthLoss(), SegmentationLoss())
    mask = DynamicClassMask(0, 20, False, 0.1) if masking else None
    batches = random_batches()

    def step() -> None:
        model.zero_grad()
        outcomes = compare(model, objective, batches, RESAMPLE,
                           lambda: torch.autocast("cpu", torch.bfloat16, enabled=half), Phase(mask))  # fmt: skip
        sum(outcome.total for outcome in outcomes).backward()

    return seconds(step)


def main() -> None:
    """Print the table; the unit is measured before every row, because machines are noisy."""
    unit = unit_step()
    print("| training step, 2+2 images 192x640 | published | ours fp32 | ours bf16 | (contract units) |")
    print("| --- | --- | --- | --- | --- |")
    for name, published in PUBLISHED.items():
        layers, masking = int(name[7:9]), "masking" in name
        ratios = []
        for half in (False, True):
            before = seconds(unit)
            spent = step_seconds(layers, masking, half)
            ratios.append(spent / ((before + seconds(unit)) / 2))
        print(f"| {name} | {published:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} | |", flush=True)


if __name__ == "__main__":
    main()
