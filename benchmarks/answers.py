"""What a teacher of the street says, as files: ``python -m benchmarks.answers truth`` and ``... depth``.

truth: a teacher cache of training images that needs no network, the true inverse depth, blurred; more than any network
       knows. depth: the depth that a network says of held-out images, to be compared with as if it were the truth
       (``eval_depth.py --depth-gt FILE``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

import arguments
import state_manager
from dataloader.cache.teacher import CachedImage, CacheWriter, Recipe, cached_image, image_root
from dataloader.catalog import find_loader
from dataloader.files import open_rgb
from dataloader.map_files import write_maps
from dataloader.samples import Sample
from dataloader.splits import resolve
from errors import UserError
from storage import descriptors
from street.plan import Recipe as Street
from street.plan import plan
from street.render import Renderer

from .commands import HELD_OUT, TRAINING

BLUR = 2.0  # sigma in pixels of what students see


def blurred_inverse(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Depth (H, W) in metres, 0 = sky, -> blurred inverse depth, (height, width) float32 in 1/m."""
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), 0).astype(np.float32)
    small = cv2.resize(inverse, size[::-1], interpolation=cv2.INTER_AREA)  # OpenCV counts width first
    return cv2.GaussianBlur(small, (0, 0), BLUR)


def true_depths(data: Path, lacking: Sequence[tuple[CachedImage, Sample]]) -> Iterator[tuple[CachedImage, np.ndarray]]:
    """Training images of a street, and the depth that their pixels see, (H, W) metres, 0 = sky.

    Raises:
        UserError: when the data set is no street.
    """
    if not (note := data / "synthetic.json").exists():
        raise UserError(f"{note}: is missing, so nothing tells the true depth; name a street of dataloader.prepare")
    street = Street(**json.loads(note.read_text())["options"])
    drives = {drive.name: drive for drive in plan(street)[0]}
    renderer, current = None, ""
    for image, sample in lacking:
        name, camera, frame = re.search(r"(\w+_sync)/image_(\d+)/data/(\d+)", sample.images[0]).groups()
        if name != current:
            renderer, current = Renderer(drives[name].draw(street.seed), street.camera), name
        yield image, renderer.truth(int(frame), right=camera == "03").depth


def keep_truth(data: Path, out: Path, size: tuple[int, int]) -> None:
    """Fill a cache with the blurred truth of all training images; what is there stays.

    size: (height, width) of what students see
    """
    spec = find_loader("depth", TRAINING, training=True)
    root = image_root(spec, data)
    samples = {cached_image(spec, root, sample.images[0]): sample for sample in resolve(spec, data)}
    told = hashlib.sha256(f"blurred truth {BLUR}".encode()).hexdigest()
    recipe = Recipe(layout="image", height=size[0], width=size[1], teacher="blurred truth", sha256=told)
    writer = CacheWriter(out, recipe)
    lacking = [(image, samples[image]) for image in writer.lacks(list(samples))]
    for image, depth in true_depths(data, lacking):
        writer.write(image, blurred_inverse(depth, size))
    print(f"{out}: {len(lacking)} of {len(samples)} maps were made")


def keep_depth(data: Path, out: Path, checkpoint: str) -> None:
    """Write what a network says of the held-out images, everywhere; nothing where the file is there."""
    if out.exists():
        return
    args = arguments.parse("eval_depth", ["--checkpoint-dir", str(out.parent)])
    teacher = state_manager.teacher_door(args, torch.device("cpu"))(checkpoint, asked="images")
    samples = resolve(find_loader("depth", HELD_OUT), data)

    def answers() -> Iterator[tuple[str, np.ndarray]]:
        for sample in samples:
            image = torch.from_numpy(np.array(open_rgb(sample.images[0]))).permute(2, 0, 1)
            yield sample.name, (1 / teacher(image[None] / 255)[0]).numpy()

    write_maps(out, answers(), "answers of a teacher")
    print(f"{out}: {len(samples)} maps")


def main(words: Sequence[str] | None = None) -> None:
    """Write the one or the other."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument("kind", choices=("truth", "depth"))
    parser.add_argument("--dataset-dir", type=Path, required=True, help="a street")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cache, or .npz file")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 320), metavar=("H", "W"), help="truth: of the maps")
    parser.add_argument("--checkpoint", default="", help="depth: of the network")
    args = parser.parse_args(words)
    try:
        if args.kind == "truth":
            keep_truth(args.dataset_dir, args.out, tuple(args.size))
        else:
            keep_depth(args.dataset_dir, args.out, args.checkpoint)
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
