"""``make bench``: every measurement, one after the other, a few minutes."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version

from . import evaluation, loading, patches, train_step
from .unit import seconds, unit_step


def main() -> None:
    """Print where this runs, then the tables."""
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "numpy", "pillow"))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {packages}")
    print(f"contract unit: {seconds(unit_step()):.3f} s\n")
    loading.main()
    print()
    train_step.main()
    print()
    patches.main()
    print()
    evaluation.main()


if __name__ == "__main__":
    main()
