"""The step of a Spatial-KD student, beside the sum of its parts and beside the same step written plainly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import arguments
import methods
from engine.bad_steps import BadSteps
from engine.device import autocast, prepare_torch
from engine.run_state import RunState
from engine.updates import build_updates
from models.spatial_kd import SpatialKD

from .measured import measured
from .plain import PlainStudent
from .train_step import take
from .turns import beside, in_turn, shown

EPOCH = 30  # in which the whole share of the maps is replaced


class Student:
    """A student, its teacher, random images and depth; the learning rate is 0, so that no step differs from another.

    encoders: of student and teacher
    """

    def __init__(
        self, size: tuple[int, int], batch: int, encoders: tuple[str, str] = ("mobilenetv2", "resnext101"), *words: str
    ):
        small, large = encoders
        given = ["--method", "spatial_kd", "--sys-cpu", "--train-weights-init", "scratch", "--train-learning-rate", "0"]
        args = arguments.parse("train", [*given, "--model-encoder", small, "--kd-teacher", large, *words])
        self.device = prepare_torch(args, training=True)
        torch.manual_seed(0)
        lay = torch.channels_last
        self.teacher = SpatialKD(large).to(memory_format=lay).eval().requires_grad_(False)
        self.network = methods.building("spatial_kd").network(args).to(memory_format=lay).train()
        build = methods.training("spatial_kd").training
        self.training = build(args, self.network, lambda *_: self.teacher, autocast(args, self.device))
        self.updates = build_updates(args, self.training.groups, self.device)
        state = RunState(self.network, self.updates.optimizer, self.updates.schedule)
        self.bad_steps = BadSteps(state, Path(), {}, 10**9, ("depth",), write=lambda *_: None)
        self.nearest, self.batch = args.depth_truth_min, measured(batch, *size)

    def step(self) -> Tensor:
        """As train.py takes it once the batch is on the device."""
        return take(self.training, self.network, [self.batch], self.updates, self.bad_steps, EPOCH)

    def parts(self) -> Tensor:
        """The teacher's maps, then the student forward and, through the frozen decoder, back; no loss, no optimiser."""
        image = self.batch.inputs[0]
        with torch.no_grad():
            self.teacher.maps(image)
        self.network.zero_grad()
        (found,) = self.network([image])
        total = found.depth.mean() + sum(one.mean() for one in found.maps)
        total.backward()
        return total.detach()


class PlainRun:
    """`PlainStudent` with AdamW as PyTorch has it by default, networks channel by channel."""

    def __init__(self, student: Student):
        network, teacher = (
            each.to(memory_format=torch.contiguous_format) for each in (student.network, student.teacher)
        )
        network.decoder.requires_grad_(True)
        self.loss, self.student = PlainStudent(network, teacher, student.nearest), student
        self.drawn = student.training.distillation.draw(EPOCH, 0, 0)
        self.optimizer = torch.optim.AdamW(network.encoder.parameters(), lr=0.0, weight_decay=0.0)

    def __call__(self) -> Tensor:
        """Take the step; its loss."""
        self.optimizer.zero_grad()
        total = self.loss(self.student.batch, **self.drawn)
        total.backward()
        self.optimizer.step()
        return total.detach()


def main(rounds: int, size: tuple[int, int], batch: int) -> None:
    """Print the table."""
    student, plain = Student(size, batch), PlainRun(Student(size, batch))
    runs: dict[str, Callable[[], Tensor]] = {"parts": student.parts, "step": student.step, "plain": plain}
    found = in_turn(runs, rounds)
    print(
        f"| step of a student, batches of {batch} at {size[0]}x{size[1]} | sum of its parts, s | step, s | plain, s "
        "| step : parts | step : plain |"
    )
    print(f"|{' --- |' * 6}")
    cells = [shown(found[kind]) for kind in runs]
    cells += [beside(found["step"], found["parts"]), beside(found["step"], found["plain"])]
    print(f"| MobileNetV2 of ResNeXt-101, fp32 | {' | '.join(cells)} |")
