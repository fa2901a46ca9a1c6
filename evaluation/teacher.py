"""Depth of frozen teachers on images at their own size: metric answers as they are, relative ones aligned per image.

A relative teacher knows inverse depth up to scale and shift; both are fitted to the ground truth of every image, as
its authors do (Ranftl et al., arXiv 1907.01341). Its numbers are thus no comparison for networks that get a scale only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .depth import DepthResult, OnDepth, inside_mask, judge
from .interface import Batch, Batches, Everywhere, Loader, Truth, alone, ignore
from .protocols import CLAMPS, depth_protocol

Crop = tuple[int, ...]
"""(height, width) of a window at the bottom of the image, centred; () for the whole image."""


def evaluate_teacher(
    inverse_depth: Callable[[Tensor], Tensor],
    batches: Batches,
    *,
    metric: bool,
    crop: Crop = (),
    fixed_scaling: float = 0.0,
    on_image: OnDepth = ignore,
    everywhere: Everywhere = alone,
) -> DepthResult:
    """Judges a teacher by the mask and the clamp that the loader names.

    inverse_depth: images (1, 3, h, w) in [0, 1] -> (1, h, w), larger = nearer
    metric:        whether that is 1/m; otherwise scale and shift are fitted to every image
    crop:          what the teacher sees of the image; ground truth outside does not count
    fixed_scaling: multiplies metric depth; 0 leaves it as it is
    on_image:      gets the position among `batches`, the truth and the depth (H, W) in metres of every image
    everywhere:    takes in what other processes found in their batches

    Raises: UserError when no image has a valid pixel.
    """

    def counts(truth: Truth, spec: Loader) -> np.ndarray:
        return inside_mask(truth, spec) & in_crop(truth.depth.shape, truth.image.shape[:2], crop)

    def depths(batch: Batch) -> list[Tensor]:
        least = 1 / CLAMPS[batch.spec.clamp][1]
        device = batch.inputs[0].device
        found = []
        for truth in batch.truth:
            inverse = _at_size_of_truth(inverse_depth, truth, crop, least, device)
            if not metric:
                inverse = aligned(inverse, truth.depth, counts(truth, batch.spec)).clamp_min(least)
            found.append(1 / inverse)
        return found

    return judge(
        depths,
        batches,
        fixed_scaling=(metric and fixed_scaling) or 1.0,
        on_image=on_image,
        counts=counts,
        everywhere=everywhere,
    )


def teacher_protocol(
    spec: Loader, *, ground_truth: str, metric: bool, crop: Crop, target: tuple[int, int], fixed_scaling: float
) -> dict[str, Any]:
    """Describes the evaluation of a teacher for metrics.json; `target` is the (height, width) it was trained at."""
    common = depth_protocol(spec.mask, spec.clamp, ground_truth=ground_truth, fixed_scaling=fixed_scaling, size=target)
    if crop:
        common["crop"] += f" and {crop[0]} rows at the bottom, {crop[1]} columns in the middle"
    if not metric:
        common["scaling"] = "least squares per image: scale and shift of inverse depth"
    elif not fixed_scaling:
        common["scaling"] = "none"
    return common | {"input": "the image at its own size, resized as the teacher wants it"}


def window(size: tuple[int, int], crop: Crop) -> tuple[slice, slice]:
    """Rows and columns of a crop in an image of this (height, width); a side that is too short stays whole."""
    height, width = size
    rows, columns = crop or size
    left = max((width - columns) // 2, 0)
    return slice(max(height - rows, 0), height), slice(left, min(left + columns, width))


def in_crop(size: tuple[int, int], image: tuple[int, int], crop: Crop) -> np.ndarray:
    """Marks pixels of a truth of (height, width) `size` that lie in the crop of an image of another size."""
    rows, columns = window(image, crop)
    inside = np.zeros(image, bool)
    inside[rows, columns] = True
    if size == image:
        return inside
    return inside[np.arange(size[0])[:, None] * image[0] // size[0], np.arange(size[1]) * image[1] // size[1]]


def aligned(inverse: Tensor, depth: np.ndarray, valid: np.ndarray) -> Tensor:
    """The line in `inverse` that fits 1 / depth best over the valid pixels, in squares.

    Shapes:  inverse (H, W) any scale; depth (H, W) metres; valid (H, W) bool
    Returns: (H, W) 1/m, of any sign; constant where `inverse` is; zeros where nothing is valid.
    """
    index = torch.from_numpy(np.flatnonzero(valid)).to(inverse.device)
    if not len(index):
        return torch.zeros_like(inverse)
    wanted = 1 / torch.from_numpy(depth.reshape(-1)).to(inverse.device)[index].double()
    given = inverse.reshape(-1)[index].double()
    offset = given - given.mean()
    spread = offset.square().sum()
    scale = torch.where(spread > 0, (offset * wanted).sum() / spread.clamp_min(1e-300), 0.0)
    return (scale * (inverse.double() - given.mean()) + wanted.mean()).float()


def _at_size_of_truth(
    inverse_depth: Callable[[Tensor], Tensor], truth: Truth, crop: Crop, outside: float, device: torch.device
) -> Tensor:
    """Inverse depth (H, W) of one image at the size of its truth; `outside` where the teacher does not look."""
    height, width = truth.image.shape[:2]
    rows, columns = window((height, width), crop)
    image = torch.from_numpy(truth.image[rows, columns].copy()).to(device)
    found = inverse_depth(image.permute(2, 0, 1)[None].float() / 255)[:, None]  # (1, 1, h, w)
    found = pad(found, (columns.start, width - columns.stop, rows.start, height - rows.stop), value=outside)
    if truth.depth.shape != (height, width):
        found = interpolate(found, truth.depth.shape, mode="bilinear", align_corners=False)
    return found[0, 0]
