"""Training steps of every method, beside what their networks alone take and beside the same step written plainly."""

from __future__ import annotations

import gc
import multiprocessing
import re
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import arguments
import methods
from dataloader.batch import Batch, to_device
from dataloader.loaders import build_training
from dataloader.measured import Measured
from engine.bad_steps import BadSteps
from engine.device import autocast, prepare_torch
from engine.run_state import RunState
from engine.updates import Updates, build_updates
from methods.method import Training
from street import write_dataset

from .measured import measured
from .plain import PlainStep
from .turns import Times, beside, in_turn, shown

RESNET_18, RESNET_50 = ("--model-num-layers", "18"), ("--model-num-layers", "50")
MASKING = ("--masking-enable", "--masking-from-epoch", "0")


@dataclass(frozen=True)
class Setting:
    """What a step is measured with.

    method, options: as for train.py
    epoch:  whose parts the step has, from 0
    batch:  samples of every data set
    size:   (height, width) of what the network sees
    data:   data set folder, such as `street_folder`
    depth_only: leave out the data sets of other purposes
    plain:  whether the step is also there as `PlainStep`
    """

    method: str = "sgdepth"
    options: tuple[str, ...] = ()
    epoch: int = 0
    precision: str = "fp32"
    compile: bool = False
    device: str = "cpu"
    batch: int = 2
    size: tuple[int, int] = (192, 640)
    data: str = ""
    depth_only: bool = False
    plain: bool = False


STEPS = {
    "SGDepth, ResNet-18": Setting(options=RESNET_18, plain=True),
    "SGDepth, ResNet-50": Setting(options=RESNET_50, plain=True),
    "SGDepth, ResNet-50, masking": Setting(options=(*RESNET_50, *MASKING), plain=True),
    "SGDEM without patches, ResNet-18": Setting(
        "sgdem", (*RESNET_18, "--no-patch-distill", "--no-masking-enable"), epoch=1
    ),
    "Monodepth2, ResNet-18": Setting("monodepth2", RESNET_18),
    "BDEdepth, ResNet-18": Setting("bdedepth", ("--model-backbone", "resnet", *RESNET_18)),
    "BDEdepth, HRNet-W18": Setting("bdedepth"),
    "Spatial-KD alone, ResNet-18": Setting("spatial_kd", ("--model-encoder", "resnet18")),
    "LapDepth, ResNeXt-101": Setting("lapdepth"),
    "SD-ConvTrans, ResNet-18": Setting("sd_convtrans", RESNET_18),
}
"""What is measured, by its name in the tables."""


@contextmanager
def street_folder() -> Iterator[str]:
    """A data set folder with a small street; steps enlarge its frames: what they show costs nothing."""
    with tempfile.TemporaryDirectory() as name:
        write_dataset(Path(name), drives=1, frames=4, height=64, width=128)
        yield name


def training_options(setting: Setting) -> Namespace:
    """Options of train.py; the learning rate is 0, so that no step differs from the one before."""
    height, width = map(str, setting.size)
    words = ["--method", setting.method, "--dataset-dir", setting.data, "--sys-num-workers", "0"]
    words += ["--sys-device", setting.device, "--train-precision", setting.precision]
    words += ["--train-weights-init", "scratch", "--train-learning-rate", "0", "--train-batches-per-epoch", "1"]
    words += ["--depth-training-loaders", "kitti_zhou_train", "--depth-training-batch-size", str(setting.batch)]
    known = {option.name for option in arguments.options_of("train", setting.method)}
    kind = "resize" if "depth_resize_height" in known else "crop"
    words += [f"--depth-{kind}-height", height, f"--depth-{kind}-width", width]
    if "segmentation" in methods.METHODS[setting.method].tasks:
        words += ["--segmentation-training-loaders", "" if setting.depth_only else "cityscapes_train"]
        words += ["--segmentation-training-batch-size", str(setting.batch)]
        words += ["--segmentation-resize-height", str(2 * setting.size[0])]
        words += ["--segmentation-resize-width", str(2 * setting.size[1])]
        words += ["--segmentation-crop-height", height, "--segmentation-crop-width", width]
    words += ["--train-compile"] if setting.compile else []
    return arguments.parse("train", [*words, *setting.options])


def _no_teacher(name: str, **_: object) -> nn.Module:
    raise ValueError(f"{name}: the measured step has no teacher")


class TrainStep:
    """A step as train.py takes it once the batches are on the device: passes, watch over bad numbers, optimiser.

    wrap: wraps the network in DDP
    open_teacher: makes the network of --patch-teacher
    """

    def __init__(
        self,
        setting: Setting,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
        open_teacher: Callable[..., nn.Module] = _no_teacher,
    ):
        args = training_options(setting)
        building = methods.building(setting.method)
        self.device, self.epoch = prepare_torch(args, training=True), setting.epoch
        makers = building.items(args)
        if any(isinstance(maker, Measured) for maker in makers.values()):
            self.batches = [measured(setting.batch, *setting.size, self.device)]
        else:
            data = build_training(args, makers)
            self.batches = [to_device(raw, self.device) for raw in next(iter(data.epoch(0)))]
        self.model = building.network(args).to(self.device).to(memory_format=torch.channels_last).train()
        self.precision = autocast(args, self.device)
        self.training = methods.training(setting.method).training(args, self.model, open_teacher, self.precision)
        if setting.compile:
            self.model.compile(dynamic=False)
        self.network = wrap(self.model) if wrap else self.model
        self.updates = build_updates(args, self.training.groups, self.device)
        state = RunState(self.model, self.updates.optimizer, self.updates.schedule)
        tasks = methods.METHODS[setting.method].tasks
        self.bad_steps = BadSteps(state, Path(setting.data), {}, 10**9, tasks, write=lambda *_: None)
        self.training.begin_epoch(self.epoch, 0)

    def __call__(self) -> Tensor:
        """Take the step; its loss."""
        return take(self.training, self.network, self.batches, self.updates, self.bad_steps, self.epoch)


def take(
    training: Training, network: nn.Module, batches: Sequence[Batch], updates: Updates, bad_steps: BadSteps, epoch: int
) -> Tensor:
    """A step as the loop of train.py takes it, without what it reports; its loss."""
    outcomes = training.step(network, batches, epoch, 0)
    updates(bad_steps.weigh(outcomes), epoch, 0)
    training.after_step(bad_steps.settle(updates.finite))
    bad_steps.state.step += 1
    bad_steps.check()
    return sum(outcome.total for outcome in outcomes).detach()


class NetworkAlone:
    """What no step can do without: the passes through the network that it makes, and the way back; nothing else."""

    def __init__(self, step: TrainStep):
        self.model, self.precision = step.model, step.precision
        noted = _Noted(step.model)
        with torch.no_grad():
            step.training.step(noted, step.batches, step.epoch, 0)
        self.calls = noted.calls

    def __call__(self) -> Tensor:
        """Pass forward and back; the gradient of every output is the same everywhere."""
        self.model.zero_grad()
        with self.precision():
            found = [getattr(self.model, name)(*given, **named) for name, given, named in self.calls]
        total = sum(output.float().mean() for output in _tensors(found) if output.requires_grad)
        total.backward()
        return total.detach()


class _Noted:
    """Stands for a network, and notes which passes are asked of it: name, arguments, named arguments."""

    def __init__(self, model: nn.Module):
        self._model = model
        self.calls: list[tuple[str, tuple, Mapping[str, Any]]] = []

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._pass("__call__", *given, **named)

    def segment(self, image: Tensor) -> Tensor:
        """As the network does it."""
        return self._pass("segment", image)

    def _pass(self, name: str, *given: Any, **named: Any) -> Any:
        self.calls.append((name, given, named))
        return getattr(self._model, name)(*given, **named)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    value = vars(value) if is_dataclass(value) else value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, Sequence) else ():
        yield from _tensors(one)


class PlainTraining:
    """`PlainStep` with the optimiser as PyTorch has it by default, and a network that lies channel by channel."""

    def __init__(self, step: TrainStep, threshold: float | None):
        self.model, self.batches = step.model.to(memory_format=torch.contiguous_format), step.batches
        self.losses = PlainStep(self.model, step.precision, threshold)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.0)

    def __call__(self) -> Tensor:
        """Take the step; its loss."""
        self.optimizer.zero_grad()
        total = sum(self.losses(self.batches))
        total.backward()
        self.optimizer.step()
        return total.detach()


def make_run(kind: str, setting: Setting) -> Callable[[], Tensor]:
    """What is timed: the ``network`` alone, our ``step`` or the ``plain`` one, each with a network of its own."""
    step = TrainStep(setting)
    if kind == "plain":
        return PlainTraining(step, 0.0 if "--masking-enable" in setting.options else None)
    return NetworkAlone(step) if kind == "network" else step


def kinds(setting: Setting) -> tuple[str, ...]:
    """The runs there are."""
    return ("network", "step", "plain") if setting.plain else ("network", "step")


def peak_bytes(setting: Setting, kind: str = "step") -> int:
    """The most memory that two steps take beyond what is there before them.

    On a GPU that is memory of tensors; elsewhere that of a process of its own, as Linux counts it.
    """
    if torch.device(setting.device).type == "cuda":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run = make_run(kind, setting)
        for _ in range(2):
            run()
        return torch.cuda.max_memory_allocated() - before
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_resident_bytes, (setting, kind))


def _resident_bytes(setting: Setting, kind: str) -> int:
    torch.set_num_threads(1)  # memory hardly depends on them
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark is that of the process it was started from
    before = most_resident()
    run = make_run(kind, setting)
    for _ in range(2):
        run()
    return most_resident() - before


def most_resident() -> int:
    """The most memory that this process has held, bytes, as Linux counts it."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def compared(setting: Setting, rounds: int, chosen: Sequence[str] = ()) -> dict[str, Times]:
    """Times of the runs of a setting, of all or of the chosen ones, taken in turn."""
    found = in_turn({kind: make_run(kind, setting) for kind in chosen or kinds(setting)}, rounds)
    gc.collect()  # networks of the next row take their place
    return found


def main(precisions: Sequence[str], rounds: int, size: tuple[int, int], batch: int, *, compiled: bool = False) -> None:
    """Print the table; `compiled` adds rows for torch.compile, which take minutes."""
    print(
        f"| training step, batches of {batch} at {size[0]}x{size[1]} | network alone, s | step, s | plain, s "
        "| step : network | plain : step | memory of network, step, plain, GB |"
    )
    print(f"|{' --- |' * 7}")
    with street_folder() as data:
        for name, setting in STEPS.items():
            for faster, precision in ((f, p) for f in (False, True)[: 1 + compiled] for p in precisions):
                one = replace(setting, precision=precision, compile=faster, size=size, batch=batch, data=data)
                print(_row(f"{name}, {precision}{', compiled' * faster}", one, rounds), flush=True)
    print("\nSeconds on the clock / of the processors; ratios: median [least..most] on the clock / of the processors.")


def _row(title: str, setting: Setting, rounds: int) -> str:
    found = compared(setting, rounds)
    memory = ", ".join(f"{peak_bytes(setting, kind) / 1e9:.2f}" for kind in found)
    plain = found.get("plain")
    cells = [shown(found["network"]), shown(found["step"]), shown(plain) if plain else ""]
    cells += [beside(found["step"], found["network"]), beside(plain, found["step"]) if plain else "", memory]
    return f"| {title} | {' | '.join(cells)} |"
