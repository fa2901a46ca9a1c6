"""Training samples per second from KITTI-sized files, as each method wants them, beside decoding these files alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from PIL import Image

import methods
from dataloader.batch import to_device
from dataloader.files import read_image
from dataloader.loaders import build_training

from .train_step import Setting, training_options
from .turns import Times, beside, in_turn, ratio
from .unit import THREADS

RECORDED = Path(os.environ.get("REAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data") / "kitti_raw_mini"
LOADERS = {"SGDepth and SGDEM": Setting(), "Monodepth2": Setting("monodepth2"), "BDEdepth": Setting("bdedepth")}
"""Methods whose samples differ, by their name in the table."""


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


class Epoch:
    """An epoch of a training loader: what one call loads, mirrors and jitters on the CPU.

    Args:
        setting: whose samples, of which size and in which batches, from which folder.
        batches: of the epoch.
        workers: loader processes.
        cache: folder of the data cache; empty for none.
    """

    def __init__(self, setting: Setting, batches: int = 24, *, workers: int = 0, cache: str = ""):
        more = ["--train-batches-per-epoch", str(batches), "--sys-num-workers", str(workers), "--data-cache", cache]
        args = training_options(replace(setting, depth_only=True, options=(*setting.options, *more)))
        self.data = build_training(args, methods.building(setting.method).items(args))
        self.samples, self._epoch = batches * setting.batch, 0

    def __call__(self) -> None:
        """Load the next one."""
        for (raw,) in self.data.epoch(self._epoch):
            to_device(raw, "cpu")
        self._epoch += 1


class Decoding:
    """Decoding alone of all frames that an epoch without a cache reads."""

    def __init__(self, epoch: Epoch):
        (samples,) = epoch.data.datasets
        frames = [path for index in range(len(samples)) for path in samples.samples[index].images.values()]
        each = len(frames) // len(samples)
        self.paths = [frames[place % len(frames)] for place in range(each * epoch.samples)]

    def __call__(self) -> None:
        """Decode them."""
        for path in self.paths:
            read_image(path)


def measured(setting: Setting, rounds: int, batches: int) -> dict[str, Times]:
    """Times of a sample, taken in turn: decoding alone, without and with workers, from JPEG and from a cache."""
    folder = Path(setting.data)
    with tempfile.TemporaryDirectory() as name:
        jpeg = as_jpeg(folder, Path(name) / "jpeg")
        plain = Epoch(setting, batches)
        runs = {
            "PNG": plain,
            f"PNG, {THREADS} workers": Epoch(setting, batches, workers=THREADS),
            "JPEG": Epoch(replace(setting, data=str(jpeg)), batches),
            "data cache": Epoch(setting, 4 * batches, cache=f"{name}/cache"),
        }
        found = in_turn({"decoding alone": Decoding(plain), **runs}, rounds)
        counts = {"decoding alone": plain.samples} | {title: run.samples for title, run in runs.items()}
        for run in runs.values():
            run.data.close()
    return {title: times.each(counts[title]) for title, times in found.items()}


def main(rounds: int, size: tuple[int, int], batch: int, batches: int = 12) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with kitti_folder() as (folder, source):
        print(
            f"| loading, {source} frames to {size[0]}x{size[1]}, mirrored and jittered on the CPU | samples/s "
            "| processor, ms per sample | samples/s : those of decoding the PNG alone |\n| --- | --- | --- | --- |"
        )
        for name, setting in LOADERS.items():
            found = measured(replace(setting, data=str(folder), size=size, batch=batch), rounds, batches)
            for title, times in found.items():
                rate, spent = 1 / median(times.wall), 1e3 * median(times.processor)
                alone = found["decoding alone"]
                cells = (f"{spent:.1f}", beside(alone, times))
                if "workers" in title:  # what these take is not in the processor time of this process
                    cells = ("", str(ratio(alone.wall, times.wall)))
                print(f"| {name}: {title} | {rate:.1f} | {' | '.join(cells)} |", flush=True)
