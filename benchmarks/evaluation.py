"""Images per second of eval_depth and inference, beside what decoding and the networks alone would take."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import DataLoader

import arguments
import methods
from dataloader.files import read_image
from eval_depth import evaluate_loader
from harness import open_evaluation
from inference import Predictor, run_images
from visual.results import ResultFolder

from .loading import RECORDED, kitti_folder
from .train_step import RESNET_18
from .turns import Times, beside, in_turn, shown
from .unit import THREADS

COMMAND, ALONE = "command", "alone"
NETWORKS = {
    "SGDepth, ResNet-18": ("--method", "sgdepth", *RESNET_18),
    "SGDEM, ResNet-18": ("--method", "sgdem", *RESNET_18),
    "Monodepth2, ResNet-18": ("--method", "monodepth2", *RESNET_18),
    "BDEdepth, ResNet-18": ("--method", "bdedepth", "--model-backbone", "resnet", *RESNET_18),
    "BDEdepth, HRNet-W18": ("--method", "bdedepth"),
}
"""What is measured, by its name in the table: options of the commands."""
Found = dict[str, Times]
"""Times per image of a command, and of its unavoidable parts alone."""


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


def write_network(folder: Path, words: tuple[str, ...] = NETWORKS["SGDepth, ResNet-18"]) -> Path:
    """An untrained network as a checkpoint folder."""
    folder.mkdir()
    args = arguments.parse("inference", [*words])
    torch.save(methods.building(args.method).network(args).state_dict(), folder / "model.pth")
    return folder


def compare(command: Callable[[], object], alone: Callable[[], object], images: int, rounds: int) -> Found:
    """Both in turns, because machines are noisy."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), torch.inference_mode():
        found = in_turn({COMMAND: command, ALONE: alone}, rounds)
    return {name: times.each(images) for name, times in found.items()}


def evaluation_times(
    data: Path,
    network: Path,
    workers: int,
    *,
    words: tuple[str, ...] = NETWORKS["SGDepth, ResNet-18"],
    size: tuple[int, int] = (192, 640),
    rounds: int = 3,
    cpu: bool = True,
) -> Found:
    """eval_depth with so many loader processes, its one picture included; the projected scans are cached.

    data: data set folder;  network: checkpoint folder;  words: its method;  size: (height, width) of its input
    """
    args = arguments.parse(
        "eval_depth",
        [
            *words,
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

    return compare(lambda: evaluate_loader(args, evaluation, loader), alone, len(paths), rounds)


def inference_times(
    images: Path, network: Path, out: Path, *, size: tuple[int, int] = (192, 640), rounds: int = 3
) -> Found:
    """inference.py on the files of a folder, and its network on images that are decoded already."""
    words = [*NETWORKS["SGDepth, ResNet-18"], "--sys-cpu", "--model-path", str(network / "model.pth")]
    words += ["--inference-resize-height", str(size[0]), "--inference-resize-width", str(size[1])]
    args = arguments.parse("inference", words)
    paths = sorted(images.iterdir())
    names = {path: path.stem for path in paths}
    predictor, outputs = Predictor(args), ResultFolder(out, args.output_format)
    pixels = predictor.fit(read_image(paths[0])).pixels

    def alone() -> None:
        for _ in range(0, len(paths), predictor.batch):
            predictor([pixels] * predictor.batch)

    return compare(lambda: run_images(names, predictor, outputs), alone, len(paths), rounds)


def main(rounds: int, size: tuple[int, int], images: int = 24) -> None:
    """Print the table."""
    print(
        f"| {size[0]}x{size[1]}, from PNG 375x1242 | images/s | s per image | unavoidable alone, s "
        "| whole : unavoidable |\n| --- | --- | --- | --- | --- |"
    )
    with kitti_folder() as (data, source), tempfile.TemporaryDirectory() as name:
        write_test_list(data, images)
        for place, (title, words) in enumerate(NETWORKS.items()):
            network = write_network(Path(name) / f"network_{place}", words)
            for workers in (0, THREADS) if place == 0 else (0,):
                found = evaluation_times(data, network, workers, words=words, size=size, rounds=rounds)
                _row(f"eval_depth, {title}, {workers} workers; {source}; alone: decoding and network", found)
        pictures = Path(name) / "pictures"
        pictures.mkdir()
        frames = sorted((data / "kitti").rglob("image_02/data/*.png"))
        for number, frame in enumerate(islice(cycle(frames), images)):
            (pictures / f"{number}.png").symlink_to(frame)
        network = Path(name) / "network_0"
        found = inference_times(pictures, network, Path(name) / "out", size=size, rounds=rounds)
        _row(f"inference, SGDepth, ResNet-18; {source}; alone: network", found)


def _row(title: str, found: Found) -> None:
    rate = 1 / median(found[COMMAND].wall)
    cells = (f"{rate:.1f}", *map(shown, found.values()), beside(found[COMMAND], found[ALONE]))
    print(f"| {title} | {' | '.join(cells)} |", flush=True)
