"""Render the synthetic street data set: ``python -m dataloader.prepare synthetic --out DIR``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

SUMMARY = "Render a street data set with true depth, labels, scans and poses, in the layouts of KITTI and Cityscapes."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--out", required=True, metavar="DIR", help="data set folder to make, or to complete")
    parser.add_argument("--drives", type=int, default=60, help="training drives; held-out drives come on top")
    parser.add_argument("--frames", type=int, default=12, help="frames per drive")
    parser.add_argument("--height", type=int, default=96, help="image height of the drives, pixels")
    parser.add_argument("--width", type=int, default=320, help="image width of the drives, pixels")
    parser.add_argument("--seed", type=int, default=0, help="decides every picture")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 means one per processor core")


def run(args: argparse.Namespace) -> int:
    """Render the set; returns the exit code.

    Raises:
        UserError: an option is out of range, or the folder holds something else.
    """
    # Each process draws on one core; the workers inherit this before they load NumPy.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from street import write_dataset

    workers = args.workers or os.cpu_count() or 1
    write_dataset(
        Path(args.out),
        drives=args.drives,
        frames=args.frames,
        height=args.height,
        width=args.width,
        seed=args.seed,
        workers=workers,
        progress=True,
    )
    return 0
