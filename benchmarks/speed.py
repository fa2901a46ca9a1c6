"""``python -m benchmarks.speed NETWORK``: how fast one network is here, in every form it can be run in.

NETWORK is what ``--model-path`` of inference.py takes; further words are options of export.py that name the network and
its size, such as ``--method sgdepth --height 192 --width 640``. Each form has a process of its own, whose memory is
counted. Images are noise: no network here computes otherwise for other ones.
"""

from __future__ import annotations

import multiprocessing
import platform
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import TYPE_CHECKING

import harness
from errors import UserError
from storage import descriptors

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMS = ("eager", "compiled", "bf16", "pt2", "onnx")
MOTION = "pose"
"""How names of weights begin that depth does not need."""


def main() -> int:
    """Print the table; returns the exit code."""
    descriptors.prepare()
    parser = ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("network", help="checkpoint, weight file or name")
    parser.add_argument("--batch", type=int, default=1, help="images at once")
    parser.add_argument("--rounds", type=int, default=10, help="passes that are measured, after two that warm up")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as PyTorch takes them")
    parser.add_argument("--cpu", action="store_true", help="measure the CPU even where a GPU is present")
    chosen, words = parser.parse_known_args()
    try:
        for name, least in (("batch", 1), ("rounds", 1), ("threads", 0)):
            if getattr(chosen, name) < least:
                raise UserError(f"--{name} {getattr(chosen, name)}: give at least {least}")
        print(table(chosen, words))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return harness.USER_ERROR
    return 0


def table(chosen: Namespace, words: list[str]) -> str:
    """Facts of the network, and a row for each form; one that cannot be measured here says why.

    Raises:
        UserError: when there is no such network.
    """
    import torch

    args = _parsed(chosen.network, words)
    device = "cuda" if torch.cuda.is_available() and not chosen.cpu else "cpu"
    network, image = _network(args, "cpu"), _noise(args, 1, "cpu")
    lines = [
        f"{chosen.network} ({args.method}), {chosen.batch} x {image.shape[2]}x{image.shape[3]}, on "
        f"{torch.cuda.get_device_name() if device == 'cuda' else platform.processor() or platform.machine()}, "
        f"torch {torch.__version__}",
        f"{parameters(network) / 1e6:.2f} million parameters (without those of motion), "
        f"{gmacs(network, image):.2f} GMACs an image",
        "",
        "| form | images/s | ms an image | memory, MB |",
        "| --- | --- | --- | --- |",
    ]
    context = multiprocessing.get_context("spawn")
    for form in FORMS:
        if reason := lacking(form, device):
            lines.append(f"| {form} | {reason} |  |  |")
            continue
        with context.Pool(1) as pool:
            seconds, bytes_ = pool.apply(measured, (form, chosen, words, device))
        each = seconds / chosen.batch
        lines.append(f"| {form} | {1 / each:.1f} | {1000 * each:.1f} | {bytes_ / 1e6:.0f} |")
    return "\n".join(lines)


def lacking(form: str, device: str) -> str:
    """Why a form cannot be measured here; "" where it can."""
    import torch

    from engine.device import has_bf16, require_compiler
    from storage.programs import missing_packages

    if form == "bf16" and not has_bf16(device):
        return "this device only emulates bf16"
    if form == "onnx" and (missing := missing_packages()):
        return f"needs {', '.join(missing)}"
    if form == "compiled":
        try:
            require_compiler("compiled", torch.device(device))
        except UserError as error:
            return str(error).partition(": ")[2].partition(";")[0]
    return ""


def measured(form: str, chosen: Namespace, words: list[str], device: str) -> tuple[float, int]:
    """Median time of a pass, seconds, and the most memory that making and running this form took, bytes.

    Called in a process of its own: on a CPU the memory is what that process holds besides PyTorch itself.
    """
    import torch

    from .train_step import most_resident
    from .unit import seconds

    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    args = _parsed(chosen.network, words)
    before = 0 if device == "cuda" else most_resident()
    run = made(form, args, chosen.batch, device)
    spent = seconds(run, chosen.rounds)
    most = torch.cuda.max_memory_allocated() if device == "cuda" else most_resident()
    return spent, most - before


def made(form: str, args: Namespace, batch: int, device: str) -> Callable[[], object]:
    """A pass of one form; ONNX computes on the CPU."""
    import torch

    from engine.device import autocast_of
    from models.deployed import Deployed
    from storage.programs import onnx_of

    network, image = _network(args, device), _noise(args, batch, device)
    deployed = Deployed(network).eval()
    if form in ("pt2", "onnx"):
        deployed.to(memory_format=torch.contiguous_format)
        program = torch.export.export(deployed, (image,))
        with torch.inference_mode():
            names = [*deployed(image)]
        deployed = program.module() if form == "pt2" else onnx_of(program, names, {}, "fp32", [])
    if form == "compiled":
        deployed.compile()
    precision = autocast_of("bf16" if form == "bf16" else "fp32", torch.device(device))

    def run() -> None:
        with torch.inference_mode(), precision():
            deployed(image)

    return run


def parameters(network: nn.Module) -> int:
    """Numbers that depth and classes are made with."""
    return sum(weight.numel() for name, weight in network.named_parameters() if not name.startswith(MOTION))


def gmacs(network: nn.Module, image: Tensor) -> float:
    """Billions of multiplications with an addition, of convolutions and products, of one image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from models.deployed import TASKS

    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        network.predict(image, TASKS)
    return counted.get_total_flops() / 2e9


def _parsed(network: str, words: list[str]) -> Namespace:
    import arguments
    from storage.wanted import fault_of_path

    args = arguments.parse("export", ["--model-path", network, *words])
    if fault := fault_of_path(args.model_path, args.fetch):
        raise UserError(fault)
    return args


def _network(args: Namespace, device: str) -> nn.Module:
    import torch

    import state_manager

    return state_manager.find_network(args, "depth")(torch.device(device)).requires_grad_(False).eval()


def _noise(args: Namespace, batch: int, device: str) -> Tensor:
    import torch

    size = (args.inference_resize_height, args.inference_resize_width)
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)


if __name__ == "__main__":
    sys.exit(main())
