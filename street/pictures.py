"""Single pictures of the street, for whoever needs something to look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .camera import kitti_camera
from .plan import Recipe, plan
from .render import Renderer


def pictures(count: int, height: int, width: int, seed: int = 0) -> Iterator[np.ndarray]:
    """So many pictures (height, width, 3) uint8 RGB, each of another drive; always the same."""
    recipe = Recipe(drives=count, frames=3, height=64, width=128, seed=seed)
    drives, _ = plan(recipe)
    for drive in drives[:count]:
        yield Renderer(drive.draw(recipe.seed), kitti_camera(height, width)).image(1)
