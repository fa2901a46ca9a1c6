"""``make bench``: every measurement, one after the other, a few minutes; ``make bench-gpu`` with ``--gpu``."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import version

from storage import descriptors


def main() -> None:
    """Print where this runs, then the tables."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="measure what a GPU does instead of the CPU")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile on the CPU, too: minutes more")
    _measure(parser.parse_args())


def _measure(chosen: argparse.Namespace) -> None:
    import torch  # looking for help costs no torch

    from . import evaluation, gpu, loading, patches, scaling, train_step
    from .unit import seconds, unit_step

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
    print(f"contract unit: {seconds(unit_step()):.3f} s\n")
    loading.main()
    print()
    train_step.main(chosen.compile)
    print()
    scaling.main()
    print()
    patches.main()
    print()
    evaluation.main()


if __name__ == "__main__":
    main()
