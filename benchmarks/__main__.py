"""``make bench``: every measurement, one after the other; ``make bench-gpu`` with ``--gpu``.

What is compared is measured in turn, in the same run; every ratio comes with its spread.
"""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import version

from storage import descriptors

PARTS = ("step", "student", "convtrans", "kernels", "loading", "scaling", "patches", "evaluation")


def main() -> None:
    """Print where this runs, then the tables."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; all without", metavar="PART")
    parser.add_argument("--gpu", action="store_true", help="measure what a GPU does instead of the CPU")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile on the CPU, too: minutes more")
    parser.add_argument("--quick", action="store_true", help="small images, one thread, two rounds: to try it out")
    parser.add_argument("--rounds", type=int, default=0, help="of everything that is measured in turn; 0: 5, or 2")
    _measure(parser.parse_args())


def _measure(chosen: argparse.Namespace) -> None:
    import torch  # looking for help costs no torch

    from engine.device import has_bf16

    from . import convtrans, evaluation, gpu, kernels, loading, patches, scaling, student, train_step
    from .unit import THREADS, seconds, unit_step

    if chosen.gpu and not torch.cuda.is_available():
        print("error: --gpu: PyTorch finds no GPU; leave it out to measure the CPU", file=sys.stderr)
        sys.exit(2)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy", "pillow"))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {packages}")
    if chosen.gpu:
        gpu.main()
        print()
        scaling.main(train_step.Setting(precision="bf16", device="cuda", batch=gpu.BATCH))
        return
    # Two threads that wait for each other are slow on a busy machine.
    size, batch, threads = ((96, 320), 1, 1) if chosen.quick else ((192, 640), 2, THREADS)
    rounds = chosen.rounds or (2 if chosen.quick else 5)
    precisions = ("fp32", "bf16") if has_bf16("cpu") else ("fp32",)
    measure = {
        "step": lambda: train_step.main(precisions, rounds, size, batch, compiled=chosen.compile),
        "student": lambda: student.main(rounds, (128, 256) if chosen.quick else (352, 704), batch),
        "convtrans": lambda: convtrans.main(rounds, *((96, 128), 1, 18) if chosen.quick else ((480, 640), batch)),
        "kernels": lambda: kernels.main(size),
        "loading": lambda: loading.main(rounds, size, batch),
        "scaling": lambda: scaling.main(train_step.Setting(size=size, batch=batch)),
        "patches": lambda: patches.main(rounds, size, batch),
        "evaluation": lambda: evaluation.main(rounds, size),
    }
    print(f"{len(precisions)} precision(s): this processor has {'' if len(precisions) > 1 else 'no '}bf16 instructions")
    if not chosen.quick:
        print(f"contract unit: {seconds(unit_step()):.3f} s")
    for part in chosen.parts or PARTS:
        print(flush=True)
        torch.set_num_threads(threads)
        measure[part]()


if __name__ == "__main__":
    main()
