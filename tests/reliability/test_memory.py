"""Memory stays flat over steps and images: what a command holds at its end it held soon after its start."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image

from tests.commands import write_checkpoint
from tests.conftest import tiny_options
from tests.reliability.conftest import Rounds
from tests.reliability.network import Network
from tests.warm import Warm

pytestmark = pytest.mark.usefixtures("thin")

HEIGHT, WIDTH = 256, 512  # of images: one that is kept shows
IMAGE = HEIGHT * WIDTH * 3
SIDE = 128
FRAME = 2 * 3 * SIDE * SIDE * 4  # bytes of two images of a training step
PAGE = os.sysconf("SC_PAGE_SIZE")
WORKERS = (0, 2)


def memory() -> int:
    """Resident bytes of this process and its children."""
    own = os.getpid()
    children = " ".join(path.read_text() for path in Path(f"/proc/{own}/task").glob("*/children")).split()
    total = 0
    for pid in (own, *children):
        total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return total


def note_memory(keep: bool = False) -> None:
    """Before a command: write down after every item what it holds; `keep` makes it hold every item.

    Blocks of pages go back to the system at once: the allocator keeps up to 10 MB for later use, now more, now less.
    """
    from dataloader import batch, files, prefetch
    from storage import allocator

    allocator.LARGE = PAGE
    allocator.give_back_large_blocks()
    kept: list[object] = []
    notes = open(os.environ["NOTES"], "w", buffering=1)  # noqa: SIM115

    def noted(plain):
        def call(*args, **more):
            found = plain(*args, **more)
            kept.extend([found] * keep)
            print(memory(), file=notes)
            return found

        return call

    batch.to_device = prefetch.to_device = noted(batch.to_device)
    files.read_image = noted(files.read_image)


def keep_everything() -> None:
    note_memory(keep=True)


def train_a_small_network() -> None:
    """One whose layers leave the allocator nothing to play with: everything around it is real."""
    from methods.sgdepth import build

    build.network = lambda args, **_: Network()
    note_memory()


def growth(notes: Path, count: int) -> float:
    """Bytes per item by which memory grew from the second quarter of the items to the last."""
    found = [int(line) for line in notes.read_text().split()]
    assert len(found) >= count
    quarter = len(found) // 4
    between = len(found) - 2 * quarter
    return (median(found[-quarter:]) - median(found[quarter : 2 * quarter])) / between


@pytest.fixture(scope="module")
def place(tmp_path_factory, rounds) -> Path:
    """Many names of one image and its depth, and a checkpoint."""
    folder = tmp_path_factory.mktemp("flat")
    write_checkpoint(folder / "runs/start")
    (folder / "own/one/depth").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(folder / "image.jpg")
    np.save(folder / "depth.npy", np.full((HEIGHT, WIDTH), 5, dtype=np.float32))
    Image.fromarray(np.full((HEIGHT, WIDTH), 7, dtype=np.uint8)).save(folder / "labels.png")
    for kind in ("leftImg8bit", "gtFine"):
        (folder / f"cityscapes/{kind}/val/town").mkdir(parents=True)
    for number in range(rounds(64, 2000)):
        (folder / f"own/one/{number:06d}.jpg").symlink_to(folder / "image.jpg")
        (folder / f"own/one/depth/{number:06d}.npy").symlink_to(folder / "depth.npy")
        name = f"val/town/town_{number:06d}_000019"
        (folder / f"cityscapes/leftImg8bit/{name}_leftImg8bit.png").symlink_to(folder / "image.jpg")
        (folder / f"cityscapes/gtFine/{name}_gtFine_labelIds.png").symlink_to(folder / "labels.png")
    return folder


def inference(place: Path, out: Path) -> list[str]:
    return [
        "--method",
        "sgdepth",
        "--sys-cpu",
        "--model-path",
        str(place / "runs/start"),
        "--image-path",
        str(place / "own/one"),
        "--output-path",
        str(out),
        "--inference-resize-height",
        "64",
        "--inference-resize-width",
        "64",
    ]


def test_training_steps(place, street, tmp_path, warm: Warm, rounds):
    for workers in WORKERS[: rounds(1, 2)]:
        train(place, street, tmp_path / str(workers), warm, rounds, workers)


def train(place: Path, street: Path, folder: Path, warm: Warm, rounds: Rounds, workers: int) -> None:
    steps = rounds(90, 300)
    folder.mkdir()
    words = [
        *tiny_options(street, folder),
        "--data-folder",
        place / "own",
        "--data-intrinsics",
        "300,300,256,128",
        "--depth-training-loaders",
        "folder_train",
        "--sys-num-workers",
        workers,
        "--train-num-epochs",
        3,
        "--train-batches-per-epoch",
        steps // 3,
        "--train-tb-frequency",
        1,
        "--train-print-frequency",
        50,
        "--masking-enable",
        "--masking-from-epoch",
        0,
        "--train-checkpoint-frequency",
        3,
        "--segmentation-resize-height",
        2 * SIDE,
        "--segmentation-resize-width",
        2 * SIDE,
        *(
            word
            for name in ("depth-resize", "segmentation-crop")
            for side in ("height", "width")
            for word in (f"--{name}-{side}", SIDE)
        ),
    ]
    notes = folder / "notes"
    done = warm.run("train.py", *words, before=train_a_small_network, env={"NOTES": str(notes)}, timeout=900)
    assert done.wait() == 0, done.stderr
    assert growth(notes, steps) < FRAME / 2 / 1.5  # two notes in a step


@pytest.mark.parametrize(("purpose", "loader"), [("depth", "folder_test"), ("segmentation", "cityscapes_validation")])
def test_evaluated_images(place, tmp_path, warm: Warm, rounds, purpose, loader):
    for workers in WORKERS[: rounds(1, 2)]:
        evaluate(place, tmp_path / f"notes_{workers}", warm, rounds, (purpose, loader, workers))


def evaluate(place: Path, notes: Path, warm: Warm, rounds: Rounds, what: tuple[str, str, int]) -> None:
    purpose, loader, workers = what
    count, validation = rounds(64, 2000), f"--{purpose}-validation"
    own = ["--data-folder", place / "own", "--data-intrinsics", "300,300,256,128"] if purpose == "depth" else []
    done = warm.run(
        f"eval_{purpose}.py",
        "--method",
        "sgdepth",
        "--sys-cpu",
        "--sys-num-workers",
        workers,
        "--dataset-dir",
        place,
        "--checkpoint-dir",
        place / "runs",
        "--model-load",
        "start",
        "--eval-num-images",
        count,
        f"{validation}-loaders",
        loader,
        f"{validation}-resize-height",
        64,
        f"{validation}-resize-width",
        64,
        *own,
        before=note_memory,
        env={"NOTES": str(notes)},
        timeout=900,
    )
    assert done.wait() == 0, done.stderr
    assert growth(notes, count) < IMAGE / 2


def test_inferred_images(place, tmp_path, warm: Warm, rounds):
    count, notes = rounds(64, 2000), tmp_path / "notes"
    done = warm.run(
        "inference.py",
        *inference(place, tmp_path / "out"),
        "--save-arrays",
        before=note_memory,
        env={"NOTES": str(notes)},
        timeout=900,
    )
    assert done.wait() == 0, done.stderr
    assert growth(notes, count) < IMAGE / 2


def test_one_image_kept_per_image_would_show(place, tmp_path, warm: Warm, rounds):
    """What the bounds above are worth."""
    notes = tmp_path / "notes"
    if not rounds(0, 1):
        pytest.skip("only with --full")
    assert (
        warm.run(
            "inference.py",
            *inference(place, tmp_path / "out"),
            before=keep_everything,
            env={"NOTES": str(notes)},
            timeout=900,
        ).wait()
        == 0
    )
    assert growth(notes, 1) > IMAGE
