"""Asking a frozen teacher about many images: files are read and written next to the network, which need not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from dataloader.augment import LEVELS
from dataloader.cache.teacher import CachedImage, CacheWriter, Recipe
from dataloader.files import open_rgb
from dataloader.transforms import resize_image
from errors import UserError
from losses.patches.selection import Grid
from storage.ahead import map_ahead
from storage.progress import Progress

PATCHES = 64  # that pass the teacher at once
HELD = 4  # batches of images of different sizes that wait for others of their size

Answer = Callable[[Tensor], Tensor]
"""RGB (B, 3, h, w) in [0, 1] -> inverse depth (B, h, w)."""
Picture = tuple[CachedImage, Tensor]
"""An image and its pixels, (3, h, w) uint8."""


def read_picture(image: CachedImage, recipe: Recipe) -> Picture:
    """What the teacher is asked about: the whole image in its own size, or, for patches, as training resizes it.

    Raises:
        UserError: when the image is missing or damaged.
    """
    picture = open_rgb(image.path)
    if recipe.layout == "grid":
        return image, torch.from_numpy(resize_image(picture, (recipe.height, recipe.width)).copy())
    return image, torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)


def answer(teacher: Answer, pixels: Tensor, recipe: Recipe) -> Tensor:
    """Maps of images of one size: pixels (B, 3, h, w) uint8 -> float32, every one of the shape `Recipe.shape`."""
    rgb = pixels.float() / LEVELS
    if recipe.layout == "image":
        size = (recipe.height, recipe.width)
        answers = [teacher(rgb), *([teacher(rgb.flip(-1)).flip(-1)] if recipe.mirrored else [])]
        return interpolate(torch.stack(answers, 1), size, mode="bilinear", antialias=True, align_corners=False)
    grid = Grid.of(recipe.height, recipe.width, recipe.patch_size)
    windows = rgb.unfold(2, grid.size, grid.stride).unfold(3, grid.size, grid.stride)[:, :, : grid.rows, : grid.columns]
    patches = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, grid.size, grid.size)
    return torch.cat([teacher(part) for part in patches.split(PATCHES)]).view(len(rgb), *recipe.shape)


def fill(
    writer: CacheWriter,
    teacher: Answer,
    images: Sequence[CachedImage],
    device: torch.device,
    *,
    batch_size: int,
    threads: int,
) -> None:
    """Ask the teacher about all images and keep its answers; when interrupted, those that are finished.

    Raises:
        UserError: when an image cannot be read, a map cannot be written, or the GPU lacks memory.
    """
    recipe = writer.recipe
    waiting: deque[Future[None]] = deque()
    with (
        ThreadPoolExecutor(threads) as writers,
        ThreadPoolExecutor(threads) as readers,
        Progress(unit="images", title=recipe.teacher, total=len(images)) as bar,
    ):
        try:
            pictures = map_ahead(readers, partial(read_picture, recipe=recipe), images, threads + 2 * batch_size)
            for batch in _of_one_size(pictures, batch_size):
                pixels = torch.stack([pixels for _, pixels in batch]).to(device)
                maps = _cautious(teacher, pixels, recipe).cpu().numpy()
                waiting += [
                    writers.submit(writer.write, image, values) for (image, _), values in zip(batch, maps, strict=True)
                ]
                while len(waiting) > threads + 2 * batch_size:
                    waiting.popleft().result()
                    bar.update()
            while waiting:
                waiting.popleft().result()
                bar.update()
        finally:
            readers.shutdown(cancel_futures=True)


def _cautious(teacher: Answer, pixels: Tensor, recipe: Recipe) -> Tensor:
    try:
        return answer(teacher, pixels, recipe)
    except torch.OutOfMemoryError as fault:
        raise UserError(f"--batch-size {len(pixels)}: the GPU is out of memory; lower it, or pass --sys-cpu") from fault


def _of_one_size(pictures: Iterable[Picture], batch_size: int) -> Iterator[list[Picture]]:
    """Batches of pictures of equal size; what is left over at the end comes in smaller ones."""
    groups: dict[tuple[int, ...], list[Picture]] = {}
    for picture in pictures:
        group = groups.setdefault(tuple(picture[1].shape), [])
        group.append(picture)
        if len(group) == batch_size or sum(map(len, groups.values())) > HELD * batch_size:
            yield groups.pop(max(groups, key=lambda size: len(groups[size])))
    yield from groups.values()
