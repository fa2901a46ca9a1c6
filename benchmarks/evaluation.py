"""Images per second of eval_depth and inference, beside what decoding and the network alone would take."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import DataLoader

import arguments
from dataloader.files import read_image
from eval_depth import evaluate_loader
from harness import open_evaluation
from inference import Predictor, output_names, run_images
from models.sgdepth import SGDepth
from visual.results import ResultFolder

from .loading import RECORDED, kitti_folder
from .unit import THREADS

NETWORK = ("--method", "sgdepth")  # ResNet-18
Rates = tuple[float, float]
"""Images a second of a command, and of its unavoidable parts alone."""


class Decoded:
    """Decodes images and forgets them: what no evaluation can do without."""

    def __init__(self, paths: list[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> int:
        read_image(self.paths[index])
        return index


def write_test_list(folder: Path, images: int) -> None:
    """Let the test split of a data set folder hold so many frames with laser scans, repeated where there are fewer."""
    target = folder / "kitti_zhou_split" / "test_files.txt"
    known = target if target.is_file() else RECORDED / "splits" / "velodyne_files.txt"
    lines = known.read_text().splitlines(keepends=True)
    target.write_text("".join(islice(cycle(lines), images)))


def write_network(folder: Path) -> Path:
    """An untrained network as a checkpoint folder."""
    folder.mkdir()
    torch.save(SGDepth().state_dict(), folder / "model.pth")
    return folder


def compare(command: Callable[[], object], alone: Callable[[], object], images: int, repeats: int) -> Rates:
    """Both in turns, because machines are noisy; medians."""
    seconds = []
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.inference_mode():
        for _ in range(1 + repeats):
            for run in (command, alone):
                start = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - start)
    return images / median(seconds[2::2]), images / median(seconds[3::2])  # the first ones warm up


def evaluation_rates(
    data: Path, network: Path, workers: int, *, size: tuple[int, int] = (192, 640), repeats: int = 3, cpu: bool = True
) -> Rates:
    """eval_depth with so many loader processes, its one picture included; the projected scans are cached.

    data: data set folder;  network: checkpoint folder;  size: (height, width) of the network's input
    """
    args = arguments.parse(
        "eval_depth",
        [
            *NETWORK,
            *(["--sys-cpu"] if cpu else []),
            "--dataset-dir",
            str(data),
            "--checkpoint-dir",
            str(network.parent),
            "--model-load",
            str(network),
            "--depth-validation-loaders",
            "kitti_zhou_test",
            "--sys-num-workers",
            str(workers),
            "--eval-num-images",
            "1",
            "--depth-validation-resize-height",
            str(size[0]),
            "--depth-validation-resize-width",
            str(size[1]),
        ],
    )
    evaluation = open_evaluation(args, "eval_depth", "depth")
    (loader,) = evaluation.loaders
    paths = [sample.images[0] for sample in loader.samples]
    image = torch.rand(1, 3, *size).to(next(evaluation.model.parameters()).device)

    def alone() -> None:
        for _ in DataLoader(Decoded(paths), num_workers=workers):
            pass
        for _ in paths:
            found = evaluation.predict_depth(image)
        found.depth.values.cpu()  # waits for a GPU

    return compare(lambda: evaluate_loader(args, evaluation, loader), alone, len(paths), repeats)


def inference_rates(
    images: Path, network: Path, out: Path, *, size: tuple[int, int] = (192, 640), repeats: int = 3
) -> Rates:
    """inference.py on the files of a folder, and its network on images that are decoded already."""
    resized = ["--inference-resize-height", str(size[0]), "--inference-resize-width", str(size[1])]
    args = arguments.parse("inference", [*NETWORK, "--sys-cpu", "--model-path", str(network / "model.pth"), *resized])
    paths = sorted(images.iterdir())
    predictor, outputs = Predictor(args), ResultFolder(out, args.output_format, arrays=False)
    view = predictor.view(read_image(paths[0]))

    def alone() -> None:
        for _ in range(0, len(paths), predictor.batch):
            predictor([view] * predictor.batch)

    return compare(lambda: run_images(output_names(paths), predictor, outputs), alone, len(paths), repeats)


def main(images: int = 24) -> None:
    """Print the table."""
    torch.set_num_threads(THREADS)
    print("| ResNet-18, 192x640, from PNG 375x1242, images/s | whole command | unavoidable alone | share |")
    print("| --- | --- | --- | --- |")
    with kitti_folder() as (data, source), tempfile.TemporaryDirectory() as name:
        write_test_list(data, images)
        network = write_network(Path(name) / "network")
        for workers in (0, THREADS):
            rates = evaluation_rates(data, network, workers)
            _row(f"eval_depth, {workers} workers; {source}; alone: decoding and network", rates)
        pictures = Path(name) / "pictures"
        pictures.mkdir()
        frames = sorted((data / "kitti").rglob("image_02/data/*.png"))
        for number, frame in enumerate(islice(cycle(frames), images)):
            (pictures / f"{number}.png").symlink_to(frame)
        _row(f"inference; {source}; alone: network", inference_rates(pictures, network, Path(name) / "out"))


def _row(title: str, rates: Rates) -> None:
    print(f"| {title} | {rates[0]:.1f} | {rates[1]:.1f} | {rates[0] / rates[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
