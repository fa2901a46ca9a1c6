"""One training step on random 192x640 tensors, 2 triplets and 2 labelled images, without optimiser and data."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from losses.depth import DepthLoss
from losses.masking import DynamicClassMask
from losses.objective import Objective
from losses.semantic import SegmentationLoss
from methods.video.schedule import Phase
from methods.video.step import compare
from models.sgdepth import SGDepth
from perspective_resample.views import synthesise

from .unit import in_units, seconds, unit_step

RESAMPLE = partial(synthesise, depth_min=0.1, depth_max=100.0)
PUBLISHED = {"ResNet-18": 5.1, "ResNet-50": 7.8, "ResNet-50, masking": 12.0}  # measured on this kind of machine
HALF = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Setting:
    """What a step is measured with; batch: triplets, and as many labelled images."""

    layers: int = 18
    masking: bool = False
    precision: str = "fp32"
    compile: bool = False
    device: str = "cpu"
    batch: int = 2
    size: tuple[int, int] = (192, 640)


def random_batches(size: int = 2, height: int = 192, width: int = 640, device: str = "cpu") -> list[SimpleNamespace]:
    """A depth and a segmentation batch of random numbers."""
    K = torch.eye(4)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = 0.58 * width, 1.92 * height, width / 2, height / 2
    frames = {frame: torch.rand(size, 3, height, width).to(device) for frame in (0, -1, 1)}
    common: dict = {"teacher": None, "flip": None, "raw": None}
    common |= {"K": K.expand(size, 4, 4).to(device), "inv_K": torch.linalg.inv(K).expand(size, 4, 4).to(device)}
    image = torch.rand(size, 3, height, width).to(device)
    labels = torch.randint(0, 19, (size, height, width)).to(device)
    return [
        SimpleNamespace(
            spec=SimpleNamespace(purpose="depth", domain="depth"), images=frames, inputs=frames, labels=None, **common
        ),
        SimpleNamespace(
            spec=SimpleNamespace(purpose="segmentation", domain="segmentation"),
            images={0: image},
            inputs={0: image},
            labels=labels,
            **common,
        ),
    ]


def make_step(setting: Setting, wrap: Callable[[nn.Module], nn.Module] | None = None) -> Callable[[], Tensor]:
    """Forward and backward pass, as training does them; returns the loss.

    wrap: wraps the network in DDP
    """
    torch.manual_seed(0)
    model = SGDepth(setting.layers).to(setting.device).to(memory_format=torch.channels_last).train()
    objective, resample = Objective(DepthLoss(), SegmentationLoss()).to(setting.device), RESAMPLE
    if setting.compile:
        model.compile(dynamic=False)
        objective.compile(dynamic=False)
        resample = partial(torch.compile(synthesise, dynamic=False), depth_min=0.1, depth_max=100.0)
    network = wrap(model) if wrap else model
    mask = DynamicClassMask(0, 20, False, 0.1) if setting.masking else None
    batches = random_batches(setting.batch, *setting.size, device=setting.device)
    half = HALF[setting.precision]
    kind = torch.device(setting.device).type
    precision = partial(torch.autocast, kind, dtype=half) if half else nullcontext

    def step() -> Tensor:
        model.zero_grad()
        outcomes = compare(network, objective, batches, resample, precision, Phase(mask))
        total = sum(outcome.total for outcome in outcomes)
        total.backward()
        return total

    return step


def step_seconds(setting: Setting) -> float:
    """Median time of forward and backward pass."""
    return seconds(make_step(setting))


def peak_bytes(setting: Setting) -> int:
    """The most memory that two steps take beyond what is there before them.

    On a GPU that is memory of tensors; elsewhere that of a process of its own, as Linux counts it.
    """
    if torch.device(setting.device).type == "cuda":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step = make_step(setting)
        for _ in range(2):
            step()
        return torch.cuda.max_memory_allocated() - before
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_resident_bytes, (setting,))


def _resident_bytes(setting: Setting) -> int:
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark is that of the process it was started from
    before = _most_resident()
    step = make_step(setting)
    for _ in range(2):
        step()
    return _most_resident() - before


def _most_resident() -> int:
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def main(compiled: bool = False) -> None:
    """Print the table; `compiled` adds columns for torch.compile, which takes minutes."""
    unit = unit_step()
    ways = [(precision, faster) for faster in (False, True)[: 1 + compiled] for precision in ("fp32", "bf16")]
    titles = [precision + " compiled" * faster for precision, faster in ways]
    print(f"| training step, 2+2 images 192x640, units | published | {' | '.join(titles)} | memory fp32, bf16, GB |")
    print(f"| --- | --- | {'--- | ' * len(ways)}--- |")
    for name, published in PUBLISHED.items():
        settings = [Setting(int(name[7:9]), "masking" in name, *way) for way in ways]
        ratios = [in_units(partial(step_seconds, setting), unit) for setting in settings]
        memory = [peak_bytes(setting) / 1e9 for setting in settings if not setting.compile]
        print(
            f"| {name} | {published:.1f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} "
            f"| {', '.join(f'{size:.2f}' for size in memory)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
