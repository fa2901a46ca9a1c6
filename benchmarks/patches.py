"""Patch refinement: our own code alone, and what it makes of a training step."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from losses.patches.refine import PatchRefiner
from losses.patches.selection import Grid

from .train_step import RESNET_18, RESNET_50, Setting, TrainStep, street_folder
from .turns import Times, beside, in_turn, shown

MOST = 18  # patches of an image
STEP = ("--no-masking-enable", "--patch-max", str(MOST))
KINDS = {"no patches": "none", "teacher cached": "none", "DPT-Hybrid": "dpt-hybrid"}
"""Steps with and without, and their --patch-teacher."""


def textured(batch: int, height: int, width: int) -> Tensor:
    """Noise where candidates lie and nothing elsewhere, so that every candidate is selected: (B, 3, H, W)."""
    grid = Grid.of(height, width)
    bottom, right = (grid.size + grid.stride * (count - 1) for count in (grid.rows, grid.columns))
    image = torch.full((batch, 3, height, width), 0.5)
    image[:, :, :bottom, :right] = torch.rand(batch, 3, bottom, right)
    return image


class Refinement:
    """Refining one disparity; networks that cost nothing stand in for both teachers."""

    def __init__(self, size: tuple[int, int]):
        self.image, self.disp = textured(1, *size), torch.rand(1, 1, *size)
        self.refiner = PatchRefiner(maximum=MOST)
        found, expected = self().count, min(MOST, len(Grid.of(*size)))
        if found != expected:
            raise RuntimeError(f"{found} patches were selected instead of {expected}")

    def __call__(self):
        """Refine it."""
        return self.refiner(self.image, self.disp, _mean, _mean)


def _mean(patches: Tensor) -> Tensor:
    return patches.mean(1, keepdim=True)


def patch_step(kind: str, setting: Setting) -> TrainStep:
    """A step of SGDEM of one of the KINDS, all of whose candidates are worth a look."""
    words = (*STEP, "--patch-teacher", KINDS[kind])
    setting = replace(setting, method="sgdem", epoch=0 if kind == "no patches" else 5)
    step = TrainStep(replace(setting, options=(*setting.options, *words)), open_teacher=lambda *_, **__: _hybrid())
    depth = step.batches[0]
    seen = {0: textured(setting.batch, *setting.size).to(step.device)}
    answers = torch.rand(setting.batch, 1, *setting.size).to(step.device) if kind == "teacher cached" else None
    step.batches[0] = replace(depth, images=depth.images | seen, inputs=depth.inputs | seen, teacher=answers)
    return step


def _hybrid() -> nn.Module:
    """DPT-Hybrid with random weights: as fast as with those of its file."""
    from models.dpt.network import DPT
    from models.teacher import Habits, Teacher

    return Teacher(DPT("hybrid"), Habits(), {}, native=True).to(memory_format=torch.channels_last)


def step_times(setting: Setting, rounds: int) -> dict[str, Times]:
    """Steps of every kind in turn; with DPT once, for it takes half a minute on a CPU."""
    once = ("DPT-Hybrid",) if setting.device == "cpu" else ()
    found = in_turn({kind: patch_step(kind, setting) for kind in KINDS if kind not in once}, rounds)
    for kind in once:
        found |= in_turn({kind: patch_step(kind, setting)}, 1, warm_up=0)
    return found


def print_steps(setting: Setting, rounds: int) -> None:
    """The table of `step_times`."""
    print(
        f"| training step of SGDEM, batches of {setting.batch}, {setting.precision} | no patches, s "
        "| teacher cached, s | DPT-Hybrid, s | teacher cached : no patches |\n| --- | --- | --- | --- | --- |"
    )
    with street_folder() as data:
        for options in (RESNET_18, RESNET_50):
            found = step_times(replace(setting, options=options, data=data), rounds)
            cells = [*map(shown, found.values()), beside(found["teacher cached"], found["no patches"])]
            print(f"| ResNet-{options[1]} | {' | '.join(cells)} |", flush=True)


def main(rounds: int, size: tuple[int, int], batch: int) -> None:
    """Print the tables."""
    (times,) = in_turn({"": Refinement(size)}, rounds).values()
    print(f"refining one {size[0]}x{size[1]} image, without networks, s: {shown(times)}\n")
    print_steps(Setting(size=size, batch=batch), rounds)
