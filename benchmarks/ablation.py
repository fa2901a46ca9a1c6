"""What each part of SGDEM is worth on the synthetic street: ``python -m benchmarks.ablation --seed 1``, some hours of
CPU time for all rows of a seed, less for single ones. A row that is finished is not trained again.

Rows a to e are trained from scratch, each with the parts of the rows before it. Rows f to j go on from the network of
row a with one part each, so that they differ in that part alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dataloader.cache.teacher import CachedImage, CacheWriter, Recipe, cached_image, image_root
from dataloader.catalog import find_loader
from dataloader.splits import resolve
from losses.patches.selection import Grid
from storage import descriptors
from street.plan import Recipe as Street
from street.plan import plan
from street.render import Renderer

from .commands import ROOT, command, read_results, usual_options

PRESET = ROOT / "presets" / "sgdem_street.toml"
CLASS = "ablation"
BLUR = 2.0  # sigma in pixels, of the informative teacher
NOISE_BLUR = 6.0
NO_PATCHES = ["--no-patch-distill"]
NO_CONSISTENCY, CONSISTENCY = ["--sd-consistency-weight", "0"], ["--sd-consistency-weight", "10"]
MORE = [
    "--model-attention",
    "none",
    "--model-disable-lr-loading",
    "--train-num-epochs",
    "3",
    "--train-warmup-steps",
    "0",
    "--train-learning-rate",
    "1e-4",
    "--sd-consistency-from-epoch",
    "0",
    "--patch-from-epoch",
    "0",
    "--patch-until-epoch",
    "3",
]


@dataclass(frozen=True)
class Row:
    """A training: what it is called, its options, where it begins, its last checkpoint, what its teacher knows."""

    title: str
    options: list[str]
    start: str = ""
    last: str = "epoch_11"
    informative: bool | None = None  # None: no teacher


ROWS = {
    "a": Row("SGDepth", ["--model-attention", "none", *NO_CONSISTENCY, *NO_PATCHES]),
    "b": Row("+ attention", [*NO_CONSISTENCY, *NO_PATCHES]),
    "c": Row("+ consistency", [*CONSISTENCY, *NO_PATCHES]),
    "d": Row("+ patches, informative teacher", CONSISTENCY, "c/checkpoints/epoch_3", informative=True),
    "e": Row("+ patches, useless teacher", CONSISTENCY, "c/checkpoints/epoch_3", informative=False),
    "f": Row("300 steps more", [*MORE, *NO_CONSISTENCY, *NO_PATCHES], "a/checkpoints/epoch_11", "epoch_3"),
    "g": Row("with consistency, weight 10", [*MORE, *CONSISTENCY, *NO_PATCHES], "a/checkpoints/epoch_11", "epoch_3"),
    "h": Row(
        "with consistency, weight 1",
        [*MORE, *NO_PATCHES, "--sd-consistency-weight", "1"],
        "a/checkpoints/epoch_11",
        "epoch_3",
    ),
    "i": Row("with patches, informative teacher", [*MORE, *NO_CONSISTENCY], "a/checkpoints/epoch_11", "epoch_3", True),
    "j": Row("with patches, useless teacher", [*MORE, *NO_CONSISTENCY], "a/checkpoints/epoch_11", "epoch_3", False),
}


def true_depths(data: Path, options: dict) -> Iterator[tuple[CachedImage, np.random.Generator, np.ndarray]]:
    """Every training image, random numbers of its own, and the depth its pixels see, (H, W) metres, 0 = sky."""
    spec = find_loader("depth", "kitti_zhou_train", training=True)
    street = Street(**options)
    drives = {drive.name: drive for drive in plan(street)[0]}
    renderer, current = None, ""
    for sample in resolve(spec, data):
        name, camera, frame = re.search(r"(\w+_sync)/image_(\d+)/data/(\d+)", sample.images[0]).groups()
        if name != current:
            renderer, current = Renderer(drives[name].draw(street.seed), street.camera), name
        image = cached_image(spec, image_root(spec, data), sample.images[0])
        rng = np.random.default_rng([street.seed, drives[name].scene, int(frame), int(camera)])
        yield image, rng, renderer.truth(int(frame), right=camera == "03").depth


def teacher_maps(informative: bool, depth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a teacher says about the candidates of one image, each with a random slope and offset: (N, s, s).

    The informative one knows the inverse depth, blurred; the other one says smooth noise.
    """
    grid = Grid.of(*depth.shape)
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), 0)
    shown = (
        cv2.GaussianBlur(inverse, (0, 0), BLUR)
        if informative
        else cv2.GaussianBlur(rng.standard_normal(depth.shape), (0, 0), NOISE_BLUR)
    )
    windows = np.lib.stride_tricks.sliding_window_view(shown, (grid.size, grid.size))
    patches = windows[:: grid.stride, :: grid.stride][: grid.rows, : grid.columns].reshape(-1, grid.size, grid.size)
    slope, offset = np.exp(rng.uniform(-1.5, 1.5, (len(grid), 1, 1))), rng.uniform(-1, 1, (len(grid), 1, 1))
    return (slope * patches + offset).astype(np.float32)


def make_teacher(folder: Path, data: Path, informative: bool) -> list[str]:
    """A cache with the answers of a teacher that needs no network; returns the options that use it."""
    options = json.loads((data / "synthetic.json").read_text())["options"]
    note = folder.with_suffix(".json")
    note.write_text(json.dumps({"informative": informative, "blur": BLUR, "noise blur": NOISE_BLUR, **options}))
    grid = Grid.of(options["height"], options["width"])
    recipe = Recipe(
        layout="grid",
        height=options["height"],
        width=options["width"],
        teacher=note.name,
        sha256=hashlib.sha256(note.read_bytes()).hexdigest(),
        patch_size=grid.size,
        patch_stride=grid.stride,
        patches=len(grid),
        patch_automatic=True,
    )
    if not folder.exists():
        writer = CacheWriter(folder, recipe)
        for image, rng, depth in true_depths(data, options):
            writer.write(image, teacher_maps(informative, depth, rng))
    return ["--patch-teacher", str(note), "--patch-teacher-cache", str(folder)]


def run(row: str, seed: int, data: Path, out: Path) -> dict[str, float]:
    """Train one row, or go on with it, and judge it."""
    runs = out / "checkpoints"
    common = usual_options(PRESET, seed, data, runs, CLASS)
    wanted = ROWS[row]
    more = list(wanted.options)
    if wanted.informative is not None:
        more += make_teacher(out / f"teacher_{'de'[not wanted.informative]}", data, wanted.informative)
    if wanted.start:
        more += ["--model-load", f"{CLASS}/{wanted.start}"]
    command(
        "train.py",
        *common,
        "--model-name",
        row,
        "--resume",
        "auto",
        "--depth-validation-loaders",
        "",
        "--segmentation-validation-loaders",
        "",
        *more,
    )
    judged = ["--model-name", f"eval_{row}", "--model-load", f"{CLASS}/{row}/checkpoints/{wanted.last}"]
    for script in ("eval_depth.py", "eval_segmentation.py"):
        command(script, *common, *judged, "--eval-num-images", "4")
    found = read_results(runs, CLASS, f"eval_{row}")
    return {**found["kitti_zhou_val_depth"]["metrics"], **found["cityscapes_val_seg"]["metrics"]}


def main() -> None:
    """Render the street, then train and judge the rows one after the other."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the street, the weights and the order of the images")
    parser.add_argument("--out", type=Path, default=Path("ablation"), help="folder for data and checkpoints")
    parser.add_argument("--data", type=Path, help="a street that is there already")
    parser.add_argument("--rows", default="".join(ROWS), help="which rows; d and e need c, the later ones a")
    args = parser.parse_args()
    out = (args.out / f"seed_{args.seed}").resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = (args.data or out / "data").resolve()
    if not args.data:
        command("-m", "dataloader.prepare", "synthetic", "--out", data, "--seed", str(args.seed))
    print("| row | | Abs Rel | RMSE | a1 | mIoU |\n| --- | --- | --- | --- | --- | --- |")
    for row in args.rows:
        found = run(row, args.seed, data, out)
        print(
            f"| {row} | {ROWS[row].title} | {found['abs_rel']:.3f} | {found['rmse']:.2f} | {found['a1']:.3f} | "
            f"{found['miou']:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
