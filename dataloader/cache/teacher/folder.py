"""Maps in a folder: looking for them, reading them, writing them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from errors import UserError, check_shape
from storage.ahead import map_shown
from storage.atomic import write_whole

from ...described import describe
from . import maps
from .images import CachedImage
from .maps import SUFFIXES, FileState
from .recipe import COMMAND, META, Recipe, check_same

THREADS = 16  # waiting for the disk, not computing


class TeacherCache:
    """Maps in a folder, for reading.

    Args:
        folder: the folder.
        recipe: what its description says; see `read_recipe`.
    """

    def __init__(self, folder: str | Path, recipe: Recipe):
        self.folder, self.recipe = Path(folder), recipe

    def path(self, image: CachedImage) -> Path:
        """File of a map, there or not."""
        return self.folder / f"{image.key}{SUFFIXES[self.recipe.layout]}"

    def read(self, image: CachedImage) -> np.ndarray:
        """Map of an image, float32, of the shape `Recipe.shape`; inverse depth, larger = nearer.

        Raises:
            UserError: when it is missing or damaged, or its image has changed.
        """
        path = self.path(image)
        try:
            values, source = maps.decode(self.recipe.layout, path, self.recipe.shape)
        except ValueError as fault:
            raise UserError(f"{path}: damaged teacher map ({fault}); delete it and run {COMMAND} again") from fault
        try:
            fits = source.fits(image.path)
        except OSError as fault:
            raise UserError(f"{image.path}: cannot be read ({fault.strerror}); check the file") from fault
        if not fits:
            raise UserError(
                f"{image.path}: has changed since its teacher map was made; run {COMMAND} again, which "
                f"renews it in {self.folder}"
            )
        return values

    def lacks(self, images: Sequence[CachedImage], thorough: bool = False) -> list[CachedImage]:
        """Images without a usable map, in their order: missing, cut off, or of an image of another length.

        Args:
            images: to look for.
            thorough: also compare the content of images whose time has changed.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            shown = map_shown(
                pool, lambda image: self._usable(image, thorough), images, "look for teacher maps", "maps"
            )
            return [image for image, good in zip(images, shown, strict=True) if not good]

    def _usable(self, image: CachedImage, thorough: bool) -> bool:
        source = maps.peek(self.recipe.layout, self.path(image))
        try:
            return source is not None and source.fits(image.path, thorough)
        except OSError:
            return False


class CacheWriter(TeacherCache):
    """Maps in a folder, for making them; several processes may write to one folder.

    Args:
        folder: the folder; made where it is missing.
        recipe: how all of its maps are made.

    Raises:
        UserError: when the folder holds other things, or maps of another recipe, or cannot be written.
    """

    def __init__(self, folder: str | Path, recipe: Recipe):
        super().__init__(folder, recipe)
        if describe(self.folder, META, recipe.encode(), "teacher cache"):
            check_same(self.folder, recipe)

    def write(self, image: CachedImage, values: np.ndarray) -> None:
        """Keep the map of an image, of the shape `Recipe.shape`, or (H, W) for a whole image.

        Raises:
            ValueError: when it has another shape.
            UserError: when it has values that are not finite, or cannot be written.
        """
        values = values[None] if values.ndim == 2 else values
        check_shape(f"teacher map of {image.key}", values, *self.recipe.shape)
        if not np.isfinite(values).all():
            raise UserError(f"{image.path}: the teacher's answer has values that are not finite; check its weight file")
        path = self.path(image)
        try:
            write_whole(path, maps.encode(self.recipe.layout, values, FileState.of(image.path)))
        except OSError as fault:
            raise UserError(
                f"{path}: cannot write ({fault.strerror}); make room or choose another folder, what is finished is kept"
            ) from fault
