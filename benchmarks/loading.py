"""Triplets per second from KITTI-sized files to 192x640: PNG, JPEG and data cache, without and with workers."""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image

from .unit import THREADS

PUBLISHED = 27.0  # triplets a second on this kind of machine
RECORDED = Path(os.environ.get("REAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data") / "kitti_raw_mini"


@contextmanager
def kitti_folder() -> Iterator[tuple[Path, str]]:
    """A data set folder with 375x1242 frames: recorded ones where this machine has them, else rendered ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if RECORDED.is_dir():
            (folder / "kitti").symlink_to(RECORDED, target_is_directory=True)
            (folder / "kitti_zhou_split").mkdir()
            lines = (RECORDED / "splits" / "train_files.txt").read_text()
            (folder / "kitti_zhou_split" / "train_files.txt").write_text(lines)
            yield folder, "recorded"
        else:
            from street import write_dataset

            write_dataset(folder, drives=1, frames=12, height=375, width=1242, workers=THREADS)
            yield folder, "rendered"


def as_jpeg(folder: Path, out: Path, quality: int = 92) -> Path:
    """The same data set folder with JPEG images only."""
    kitti = (folder / "kitti").resolve()
    for path in kitti.rglob("image_0?/data/*.png"):
        image = Image.open(path)
        if image.mode == "RGB":  # and not depth
            copy = out / "kitti" / path.relative_to(kitti).with_suffix(".jpg")
            copy.parent.mkdir(parents=True, exist_ok=True)
            image.save(copy, quality=quality)
    (out / "kitti_zhou_split").symlink_to(folder / "kitti_zhou_split", target_is_directory=True)
    return out


def triplets_per_second(
    folder: Path, batches: int = 24, batch_size: int = 4, *, workers: int = 0, cache: str = "", device: str = ""
) -> float:
    """Speed of the training loader.

    Args:
        folder: data set folder.
        batches: that are timed; one epoch before them fills the cache and starts the workers.
        batch_size: triplets per batch.
        workers: loader processes.
        cache: folder of the data cache; empty for none.
        device: where batches become network inputs, mirrored and jittered; empty to leave them as bytes.
    """
    from dataloader.batch import to_device
    from dataloader.items import video_items
    from dataloader.loaders import build_training

    torch.set_num_threads(1)
    args = Namespace(
        dataset_dir=str(folder),
        checkpoint_dir="",
        sys_num_workers=workers,
        sys_seed=1,
        data_cache=cache,
        depth_training_loaders=("kitti_zhou_train",),
        segmentation_training_loaders=(),
        depth_gt="raw",
        depth_training_batch_size=batch_size,
        depth_resize_height=192,
        depth_resize_width=640,
        data_folder="",
        data_intrinsics=(),
        train_color_jitter="on",
        train_batches_per_epoch=batches,
    )
    data = build_training(args, {"depth": video_items(args)})
    for epoch in range(2):
        start = time.perf_counter()
        for (raw,) in data.epoch(epoch):
            if device:
                to_device(raw, device)
    seconds = time.perf_counter() - start
    data.close()
    return batches * batch_size / seconds


def main() -> None:
    """Print the table."""
    with kitti_folder() as (folder, source), tempfile.TemporaryDirectory() as name:
        jpeg, cache = as_jpeg(folder, Path(name) / "jpeg"), f"{name}/cache"
        print(
            f"| loading, {source} 375x1242 frames to 192x640, triplets/s | bytes, no worker "
            f"| bytes, {THREADS} workers | mirrored and jittered on the CPU, no worker |\n| --- | --- | --- | --- |"
        )
        print(f"| published, PNG | | | {PUBLISHED:.0f} |")
        for kind, place, kept, batches in (
            ("PNG", folder, "", 24),
            ("JPEG", jpeg, "", 48),
            ("data cache", folder, cache, 600),
        ):
            ways = ((batches, 0, ""), (batches, THREADS, ""), (min(batches, 60), 0, "cpu"))
            rates = [
                triplets_per_second(place, count, workers=workers, cache=kept, device=device)
                for count, workers, device in ways
            ]
            print(f"| ours, {kind} | {' | '.join(f'{rate:.0f}' for rate in rates)} |", flush=True)


if __name__ == "__main__":
    main()
