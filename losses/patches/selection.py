"""Which patches of an image are worth a closer look: those rich in gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.2989, 0.5870, 0.1140)
GROWTH = 32  # pixels by which a patch grows on every side, one step after the other


@dataclass(frozen=True)
class Patches:
    """Square patches of a batch of images, P of them, all of one size.

    `image` (P,) index in the batch; `y`, `x` (P,) upper left corner; `place` (P,) number of the candidate the patch
    came from, rows of the grid one after the other. All int64 on the device of the images.
    """

    size: int
    image: Tensor
    y: Tensor
    x: Tensor
    place: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def cut(self, maps: Tensor) -> Tensor:
        """The patches themselves: maps (B, C, H, W) -> (P, C, size, size)."""
        windows = maps.unfold(2, self.size, 1).unfold(3, self.size, 1)  # a view, (B, C, H', W', size, size)
        return windows[self.image, :, self.y, self.x]

    def positions(self, height: int, width: int) -> Tensor:
        """Index of every pixel of every patch in a flattened (B, H, W), shape (P, size, size)."""
        steps = torch.arange(self.size, device=self.image.device)
        corner = (self.image * height + self.y) * width + self.x
        return corner[:, None, None] + (steps * width)[:, None] + steps


@dataclass(frozen=True)
class Grid:
    """Candidates of one image size, `rows` x `columns` of them; upper left corners at multiples of `stride`.

    The end is exclusive: a candidate that would end exactly at the border is left out, as in the published code.
    """

    size: int
    stride: int
    rows: int
    columns: int

    @classmethod
    def of(cls, height: int, width: int, size: int = 0) -> Grid:
        """Candidates of side `size` (0: 64 per 96 rows) in (height, width) images; none where they are too small."""
        size = size or automatic_size(height)
        stride = round(round(size / 2) * 0.75)
        rows, columns = (max(math.ceil((length - size) / stride), 0) for length in (height, width))
        return cls(size, stride, rows, columns) if rows and columns else cls(size, stride, 0, 0)

    def __len__(self) -> int:
        return self.rows * self.columns


def automatic_size(height: int) -> int:
    """Side of a patch for images of this height: 128, 192, 256 for 192, 288, 384 rows; 22 candidates everywhere."""
    return max(64 * round(height / 96), 64)


def strong_gradients(image: Tensor) -> Tensor:
    """Sum of the absolute Sobel derivatives of the grey image, 0 where below their mean over pixels that have any.

    Shapes:  image (B, 3, H, W) RGB.    Returns: (B, H, W) float64, as published: a pixel whose gradient is that mean
             falls on the same side everywhere.    Source: SGDEM, patch selection.
    """
    exact = image.double()
    grey = sum(weight * exact[:, channel] for channel, weight in enumerate(_LUMA))
    padded = F.pad(grey[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    # Slices instead of a convolution, which GPUs may round to ten bits.
    tall = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    wide = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    found = (tall[..., 2:] - tall[..., :-2]).abs() + (wide[:, 2:] - wide[:, :-2]).abs()
    present = (found > 0).sum((1, 2), keepdim=True).clamp(min=1)
    return torch.where(found < found.sum((1, 2), keepdim=True) / present, 0, found)


def densities(gradients: Tensor, grid: Grid) -> Tensor:
    """Mean of the gradients in every candidate: (B, H, W) -> (B, rows * columns)."""
    means = F.avg_pool2d(gradients[:, None], grid.size, grid.stride)
    return means[:, 0, : grid.rows, : grid.columns].flatten(1)


def select(
    image: Tensor, size: int = 0, maximum: int = 0, enlarge: bool = False, mirrored: Tensor | None = None
) -> list[Patches]:
    """Candidates with at least the gradients of the whole image, in groups of one size each.

    Args:
        image: (B, 3, H, W) RGB.
        size: side of the candidates; 0 for `automatic_size`.
        maximum: keep the densest so many per image; 0 for all.
        enlarge: let every patch grow by 32 pixels on all sides while it stays inside and dense enough.
        mirrored: (B,) True where the grid starts at the right border instead of the left one.

    Returns:
        one group without `enlarge`, else one per size that occurs, largest first; within a group ordered by image,
        row and column of the grid. Its length is the only thing the host asks the device for.
    """
    height, width = image.shape[-2:]
    grid = Grid.of(height, width, size)
    gradients = strong_gradients(image)
    if mirrored is not None:
        gradients = torch.where(mirrored[:, None, None], gradients.flip(-1), gradients)
    whole = gradients.mean((1, 2))
    density = densities(gradients, grid) if len(grid) else gradients.new_zeros(len(image), 0)
    kept = density >= whole[:, None]
    if maximum:
        rank = density.where(kept, -1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        kept = kept & (rank < maximum)
    steps = _growth(gradients, whole, grid, kept) if enlarge else torch.zeros_like(kept, dtype=torch.long)
    most = min(height - grid.size, width - grid.size) // (2 * GROWTH) if enlarge and len(grid) else 0
    groups = [_patches(kept & (steps == step), grid, step, width, mirrored) for step in range(most, -1, -1)]
    return [group for group in groups if len(group)] if enlarge else groups


def _patches(chosen: Tensor, grid: Grid, step: int, width: int, mirrored: Tensor | None) -> Patches:
    index, place = chosen.nonzero(as_tuple=True)
    size = grid.size + 2 * GROWTH * step
    y = place // max(grid.columns, 1) * grid.stride - GROWTH * step
    x = place % max(grid.columns, 1) * grid.stride - GROWTH * step
    if mirrored is not None:
        x = torch.where(mirrored[index], width - size - x, x)
    return Patches(size, index, y, x, place)


def _growth(gradients: Tensor, whole: Tensor, grid: Grid, kept: Tensor) -> Tensor:
    """How many steps every candidate can grow, (B, rows * columns) int64."""
    height, width = gradients.shape[-2:]
    table = F.pad(gradients.cumsum(1).cumsum(2), (1, 0, 1, 0))  # sums above and left of each corner
    place = torch.arange(len(grid), device=gradients.device)
    y, x = place // grid.columns * grid.stride, place % grid.columns * grid.stride
    alive, steps = kept, torch.zeros_like(kept, dtype=torch.long)
    for step in range(1, min(height - grid.size, width - grid.size) // (2 * GROWTH) + 1):
        size = grid.size + 2 * GROWTH * step
        top, left = y - GROWTH * step, x - GROWTH * step
        inside = (top >= 0) & (left >= 0) & (top + size <= height) & (left + size <= width)
        t, b = top.clamp(0, height), (top + size).clamp(0, height)
        l, r = left.clamp(0, width), (left + size).clamp(0, width)  # noqa: E741
        total = table[:, b, r] - table[:, t, r] - table[:, b, l] + table[:, t, l]
        alive = alive & inside & (total / size**2 >= whole[:, None])
        steps = steps + alive
    return steps
