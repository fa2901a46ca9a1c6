"""Triplets per second from KITTI-sized PNG files to 640x192, one process, ready for the network."""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .unit import THREADS

PUBLISHED = 27.0  # triplets a second on this kind of machine
RECORDED = Path(os.environ.get("REAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data") / "kitti_raw_mini"


@contextmanager
def kitti_folder() -> Iterator[tuple[Path, str]]:
    """A data set folder with 1242x375 frames: recorded ones where this machine has them, else rendered ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if RECORDED.is_dir():
            (folder / "kitti").symlink_to(RECORDED, target_is_directory=True)
            (folder / "kitti_zhou_split").mkdir()
            lines = (RECORDED / "splits" / "train_files.txt").read_text()
            (folder / "kitti_zhou_split" / "train_files.txt").write_text(lines)
            yield folder, "recorded"
        else:
            from dataloader.street import write_dataset

            write_dataset(folder, drives=1, frames=12, height=375, width=1242, workers=THREADS)
            yield folder, "rendered"


def triplets_per_second(folder: Path, batches: int = 30, batch_size: int = 4, jitter: str = "on") -> float:
    """Speed of the training loader and of its device part, without workers."""
    from dataloader.batch import to_device
    from dataloader.loaders import build_training

    torch.set_num_threads(1)
    args = Namespace(
        dataset_dir=str(folder), checkpoint_dir="", sys_num_workers=0, sys_seed=1, train_batches_per_epoch=batches,
        depth_training_loaders=("kitti_zhou_train",), segmentation_training_loaders=(), depth_gt="raw",
        depth_training_batch_size=batch_size, depth_resize_height=192, depth_resize_width=640, data_folder="",
        data_intrinsics=(), train_color_jitter=jitter,
    )  # fmt: skip
    data = build_training(args)
    start = time.perf_counter()
    for (raw,) in data.epoch(0):
        to_device(raw, "cpu")
    return batches * batch_size / (time.perf_counter() - start)


def main() -> None:
    """Print the table."""
    with kitti_folder() as (folder, source):
        triplets_per_second(folder, batches=2)
        print(f"| loading, one process, {source} 1242x375 PNG to 640x192 | triplets/s |\n| --- | --- |")
        print(f"| published | {PUBLISHED:.0f} |")
        for jitter in ("on", "off"):
            print(f"| ours, colour jitter {jitter} | {triplets_per_second(folder, jitter=jitter):.0f} |", flush=True)


if __name__ == "__main__":
    main()
