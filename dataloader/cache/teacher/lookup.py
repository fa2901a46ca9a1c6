"""The cache of a training: whether it is the right one, and the map of every sample."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import UserError
from storage.published import identity_of, short_name

from ...catalog import LoaderSpec
from ...samples import Sample
from .folder import TeacherCache
from .images import CachedImage, cached_image
from .recipe import COMMAND, Recipe, read_recipe

OPTION, GUIDES = "--patch-teacher-cache", "--teacher-cache"
_HASH = re.compile(r"[0-9a-f]{8,64}")


def open_cache(
    folder: str | Path,
    *,
    size: tuple[int, int],
    teacher: str,
    patch_size: int = 0,
    enlarge: bool = False,
    runs: str = "",
) -> TeacherCache:
    """The cache of a training on patches.

    Args:
        folder: --patch-teacher-cache.
        size: (height, width) of the training images.
        teacher: --patch-teacher.
        patch_size: --patch-size, 0 for automatic.
        enlarge: --patch-enlarge.
        runs: the folder of all runs.

    Raises:
        UserError: when it does not hold what this training needs.
    """
    recipe = _fitting(OPTION, folder, size, "--patch-teacher", teacher, runs)
    if recipe.layout == "grid":
        _check_patches(f"{OPTION} {folder}", recipe, patch_size, enlarge)
    return TeacherCache(folder, recipe)


def open_guides(
    folder: str | Path, *, size: tuple[int, int], teacher: str, mirrored: bool, runs: str = ""
) -> TeacherCache:
    """The cache of a training with a teacher of whole images.

    Args:
        folder: --teacher-cache.
        size: (height, width) of the training images.
        teacher: --teacher; "" for whoever made the cache.
        mirrored: whether answers to mirrored images are needed, too.
        runs: the folder of all runs.

    Raises:
        UserError: when it does not hold what this training needs.
    """
    place = f"{GUIDES} {folder}"
    recipe = _fitting(GUIDES, folder, size, "--teacher", teacher, runs)
    if recipe.layout != "image":
        raise UserError(
            f"{place}: holds answers to patches (--layout {recipe.layout}), whole images are taught; make one with "
            f"{COMMAND} --layout image"
        )
    if mirrored and not recipe.mirrored:
        raise UserError(
            f"{place}: holds no answers to mirrored images, which --teacher-gate uncertainty compares; make one with "
            f"{COMMAND} --mirrored, or choose another --teacher-gate"
        )
    return TeacherCache(folder, recipe)


def _fitting(option: str, folder: str | Path, size: tuple[int, int], flag: str, teacher: str, runs: str) -> Recipe:
    """What a cache says of itself, where size and teacher are those of the training.

    option, flag: what names the cache and its teacher
    """
    place = f"{option} {folder}"
    if teacher == "none":
        raise UserError(f"{place}: contradicts {flag} none; name the teacher that made it, or leave the cache out")
    recipe = read_recipe(folder)
    height, width = size
    if (recipe.height, recipe.width) != size:
        raise UserError(
            f"{place}: made for {recipe.height} x {recipe.width} (height x width) images, training has "
            f"{height} x {width}; make one with {COMMAND} --height {height} --width {width}"
        )
    if teacher and not _same_teacher(recipe, teacher, runs):
        made = f"{recipe.teacher}{f' (SHA-256 {recipe.sha256[:8]}...)' if recipe.sha256 else ''}"
        raise UserError(
            f"{place}: made by {made}, {flag} is {teacher}; name the teacher of the cache, or "
            f"make another with {COMMAND} --teacher {teacher}"
        )
    return recipe


def _check_patches(place: str, recipe: Recipe, patch_size: int, enlarge: bool) -> None:
    if enlarge:
        raise UserError(
            f"{place}: holds patches of one size, --patch-enlarge needs others; leave that out, or use a "
            "cache with --layout image"
        )
    if not (recipe.patch_size == patch_size if patch_size else recipe.patch_automatic):
        raise UserError(
            f"{place}: holds patches of {recipe.patch_size} pixels, --patch-size {patch_size} needs "
            f"others; pass --patch-size {recipe.patch_size}, or use a cache with --layout image"
        )


def _same_teacher(recipe: Recipe, wanted: str, runs: str) -> bool:
    """What is there is compared by content, else by name or by the hash that published names end with."""
    if wanted.startswith("hf:"):
        return recipe.teacher == wanted
    for path in (Path(runs) / wanted, Path(wanted)):  # in the order in which a training looks
        if path.exists() and (digest := identity_of(path)["sha256"]):
            return digest == recipe.sha256
    path = Path(wanted)
    digits = path.stem.rpartition("-")[2]
    known = _HASH.fullmatch(digits) and recipe.sha256.startswith(digits)
    return bool(known) or recipe.teacher in (path.name, short_name(path))


@dataclass(frozen=True)
class LoaderMaps:
    """The maps of one loader.

    cache:  where they are
    spec:   the loader
    root:   as from `image_root`
    epochs: in which they are needed
    option: that names the cache
    number: of the maps of an image that are needed; None for all
    """

    cache: TeacherCache
    spec: LoaderSpec
    root: Path
    epochs: range
    option: str = OPTION
    number: int | None = None

    def __call__(self, sample: Sample, epoch: int) -> np.ndarray | None:
        """Map of the predicted frame, None in epochs without; raises `UserError` as `TeacherCache.read` does."""
        return self.cache.read(self._image(sample))[: self.number] if epoch in self.epochs else None

    def require(self, samples: Iterable[Sample]) -> None:
        """Look whether every sample has its map.

        Raises:
            UserError: with the number of missing ones and the first of them.
        """
        images = [self._image(sample) for sample in samples]
        lacking = self.cache.lacks(images)
        if lacking:
            raise UserError(
                f"{self.option} {self.cache.folder}: {len(lacking)} of {len(images)} images of "
                f"{self.spec.name} have changed since, or their map is missing or cut off, first "
                f"{lacking[0].path} with {self.cache.path(lacking[0])}; run {COMMAND} again"
            )

    def _image(self, sample: Sample) -> CachedImage:
        return cached_image(self.spec, self.root, sample.images[0])
