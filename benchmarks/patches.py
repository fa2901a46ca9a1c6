"""Patch refinement: our own code alone, and what it makes of a training step."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor

from losses.consistency import SemanticDepthConsistency
from losses.depth import DepthLoss
from losses.objective import Objective
from losses.patches.distillation import PatchDistillation
from losses.patches.loss import PatchLoss
from losses.patches.refine import PatchRefiner
from losses.semantic import SegmentationLoss
from methods.video.schedule import Phase
from methods.video.step import compare
from models.self_teacher import SelfTeacher
from models.sgdepth import SGDepth

from .train_step import RESAMPLE, random_batches
from .unit import in_units, seconds, unit_step

PATCHES = 18
PUBLISHED_REFINEMENT = 148.0  # units, measured on this kind of machine


def textured(batch: int = 1, height: int = 192, width: int = 640) -> Tensor:
    """Noise where candidates lie and nothing elsewhere, so that every candidate is selected: (B, 3, H, W)."""
    image = torch.full((batch, 3, height, width), 0.5)
    image[:, :, :176, :608] = torch.rand(batch, 3, 176, 608)
    return image


def refinement_seconds() -> float:
    """Time to refine one 192x640 disparity from 18 patches; networks that cost nothing stand in for both teachers."""
    image, disp = textured(), torch.rand(1, 1, 192, 640)
    refiner = PatchRefiner(maximum=PATCHES)

    def mean(patches: Tensor) -> Tensor:
        return patches.mean(1, keepdim=True)

    found = refiner(image, disp, mean, mean)
    if found.count != PATCHES:
        raise RuntimeError(f"{found.count} patches were selected instead of {PATCHES}")
    return seconds(lambda: refiner(image, disp, mean, mean))


def step_seconds(layers: int, patches: str, device: str = "cpu") -> float:
    """Median time of forward and backward pass; `patches` is "", "cached" or "online" (DPT-Hybrid)."""
    torch.manual_seed(0)
    model = SGDepth(layers, attention={"variant": "bottleneck"}).to(memory_format=torch.channels_last).train()
    model = model.to(device)
    objective = Objective(DepthLoss(), SegmentationLoss(), 2.0, SemanticDepthConsistency(), 10.0, PatchLoss())
    batches = random_batches(device=device)
    batches[0].images[0][:] = textured(2).to(device)
    phase = Phase(consistency=True)
    if patches:
        self_teacher = SelfTeacher(model)
        self_teacher.begin_epoch()
        teacher = _hybrid().to(device) if patches == "online" else None
        batches[0].teacher = torch.rand(2, 1, 192, 640).to(device) if patches == "cached" else None
        phase = Phase(consistency=True, patches=PatchDistillation(PatchRefiner(maximum=PATCHES), self_teacher, teacher))

    def step() -> None:
        model.zero_grad()
        outcomes = compare(model, objective, batches, RESAMPLE, nullcontext, phase)
        sum(outcome.total for outcome in outcomes).backward()

    # A step with DPT takes half a minute here, so it is measured once.
    return seconds(step, repeats=1 if patches == "online" else 3, warm_up=1)


def _hybrid() -> torch.nn.Module:
    """DPT-Hybrid with random weights: as fast as with those of its file."""
    from models.dpt.network import DPT
    from models.teacher import Habits, Teacher

    return Teacher(DPT("hybrid"), Habits(), {}, native=True).to(memory_format=torch.channels_last)


def main() -> None:
    """Print both tables; the unit is measured around every row, because machines are noisy."""
    unit = unit_step()
    print("| refining one 192x640 image, 18 patches, without networks | published | ours | (contract units) |")
    print("| --- | --- | --- | --- |")
    alone = in_units(refinement_seconds, unit)
    print(f"| selection to fusion | {PUBLISHED_REFINEMENT:.0f} | {alone:.2f} | |\n", flush=True)
    print(
        "| training step of SGDEM, 2+2 images 192x640, 18 patches per image | plain | patches, teacher cached "
        "| patches, DPT-Hybrid | (contract units) |"
    )
    print("| --- | --- | --- | --- | --- |")
    for layers in (18, 50):
        found = [in_units(partial(step_seconds, layers, kind), unit) for kind in ("", "cached", "online")]
        print(f"| ResNet-{layers} | {' | '.join(f'{value:.2f}' for value in found)} | |", flush=True)


if __name__ == "__main__":
    main()
