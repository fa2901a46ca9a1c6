"""``make bench-gpu``: where the time of a training step goes on a GPU, and how much of what the card can do is used."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import arguments
import train

from .evaluation import ALONE, COMMAND, evaluation_times, write_network, write_test_list
from .loading import kitti_folder
from .patches import print_steps as print_patch_steps
from .train_step import STEPS, Setting, TrainStep, compared, peak_bytes, street_folder
from .turns import beside, ratio
from .unit import seconds, unit_step

BATCH = 12  # triplets, and as many labelled images: the published batch size
TOP = 10  # rows of the profile
Span = tuple[float, float]
"""Begin and end of something on the device, microseconds."""


def operations(setting: Setting) -> int:
    """Floating-point operations in the convolutions and matrix products of a step; one multiply-add counts as two."""
    step = TrainStep(setting)
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def matrix_rate(dtype: torch.dtype, device: str, size: int = 8192) -> float:
    """Operations per second of one large product of matrices, the most that the card does."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: left @ right, repeats=11)


def busy_share(spans: Iterable[Span], skip: float = 0.0) -> float:
    """Share of the time in which at least one span lasts; `skip` is the share of the beginning that does not count."""
    ordered = sorted(spans)
    begin, end = ordered[0][0], max(span[1] for span in ordered)
    begin += skip * (end - begin)
    covered, reached = 0.0, begin
    for first, last in ordered:
        covered += max(0.0, last - max(first, reached))
        reached = max(reached, last)
    return covered / (end - begin)


def device_spans(recorded: profile, kind: str) -> list[Span]:
    """What ran on devices of this kind: kernels and copies on a GPU, operators on a CPU."""
    wanted = getattr(torch.autograd.DeviceType, kind.upper())
    return [
        (event.time_range.start, event.time_range.end) for event in recorded.events() if event.device_type == wanted
    ]


def training_busy_share(words: list[str], device: str) -> float:
    """Busy share of the device while train.py runs with these options, its last two thirds."""
    kind = torch.device(device).type
    activities = [ProfilerActivity.CUDA if kind == "cuda" else ProfilerActivity.CPU]
    args = arguments.parse("train", words)
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), profile(activities=activities) as seen:
        train.train(args)
    return busy_share(device_spans(seen, kind), skip=1 / 3)


def step_profile(step: Callable[[], object], device: str, rows: int = TOP) -> list[tuple[str, float]]:
    """The kernels that take most of a step, and their shares of the time of all."""
    kind = torch.device(device).type
    step()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if kind == "cuda" else [])]
    with profile(activities=activities) as seen:
        step()
        if kind == "cuda":
            torch.cuda.synchronize()
    field = f"self_{'device' if kind == 'cuda' else kind}_time_total"
    spent = sorted(((event.key, getattr(event, field)) for event in seen.key_averages()), key=lambda row: -row[1])
    total = sum(time for _, time in spent)
    return [(name, time / total) for name, time in spent[:rows]]


def waits(step: Callable[[], object]) -> list[str]:
    """Places where a step on a CUDA GPU makes the host wait for it; there should be none."""
    step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return [f"{one.filename}:{one.lineno}" for one in told if "synchroniz" in str(one.message)]


def print_steps(device: str) -> None:
    """Time, memory and achieved operations per second of every precision, eager and compiled."""
    unit = seconds(unit_step(device))
    print(f"contract unit on this GPU: {unit * 1e3:.2f} ms")
    most = {
        name: matrix_rate(dtype, device)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16))
    }
    print("matrix products, TFLOP/s: " + ", ".join(f"{name} {rate / 1e12:.0f}" for name, rate in most.items()) + "\n")
    print(
        f"| training step, batches of {BATCH} at 192x640 | ms | step : network alone | samples/s | memory, GB "
        "| TFLOP/s | share of matrix rate |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    with street_folder() as data:
        for name, setting in STEPS.items():
            setting = replace(setting, device=device, batch=BATCH, data=data)
            count = operations(setting)
            for compiled, precision in ((c, p) for c in (False, True) for p in most):
                one = replace(setting, precision=precision, compile=compiled)
                found, memory = compared(one, rounds=5, chosen=("network", "step")), peak_bytes(one)
                spent = median(found["step"].wall)
                print(
                    f"| {name}, {precision}{', compiled' if compiled else ''} | {spent * 1e3:.1f} "
                    f"| {ratio(found['step'].wall, found['network'].wall)} | {BATCH / spent:.0f} "
                    f"| {memory / 1e9:.2f} | {count / spent / 1e12:.1f} | {count / spent / most[precision]:.2f} |",
                    flush=True,
                )


def training_words(data: Path, folder: Path, batches: int = 60) -> list[str]:
    """Options of a training from the cache on the frames of a benchmark, an epoch of so many batches."""
    return [
        "--method",
        "sgdepth",
        "--dataset-dir",
        str(data),
        "--checkpoint-dir",
        str(folder / "runs"),
        "--data-cache",
        str(folder / "cache"),
        "--train-weights-init",
        "scratch",
        "--train-num-epochs",
        "1",
        "--train-batches-per-epoch",
        str(batches),
        "--depth-training-loaders",
        "kitti_zhou_train",
        "--segmentation-training-loaders",
        "",
        "--depth-validation-loaders",
        "",
        "--segmentation-validation-loaders",
        "",
        "--depth-training-batch-size",
        "4",
    ]


def main(device: str = "cuda") -> None:
    """Print every table."""
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}")
    print_steps(device)
    print()
    print_patch_steps(Setting(device=device), rounds=5)
    with street_folder() as data:
        step = TrainStep(Setting(precision="bf16", device=device, batch=BATCH, data=data))
        print("\n| kernel | share of a step, ResNet-18, bf16 |\n| --- | --- |")
        for name, share in step_profile(step, device):
            print(f"| {name[:80]} | {share:.3f} |")
        places = waits(step)
        print(f"\nwaits of the host in a step: {len(places)}{''.join(f'{chr(10)}  {place}' for place in places)}")
    with kitti_folder() as (data, source), tempfile.TemporaryDirectory() as name:
        words = training_words(data, Path(name))
        print(
            f"\nGPU busy in training from the cache ({source} frames, ResNet-18, 4 triplets): "
            f"{training_busy_share(words, device):.2f}"
        )
        write_test_list(data, 200)
        found = evaluation_times(data, write_network(Path(name) / "network"), 4, cpu=False)
        rate = 1 / median(found[COMMAND].wall)
        print(
            f"eval_depth, 4 workers, images/s: {rate:.1f}; whole : unavoidable {beside(found[COMMAND], found[ALONE])}"
        )


if __name__ == "__main__":
    main()
