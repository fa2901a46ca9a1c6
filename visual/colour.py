"""Depth, classes, normals and probabilities as RGB images in [0, 1]; every function takes a whole batch."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

# Cityscapes' colours of train ids 0 to 18; every other id is black.
CLASS_COLOURS = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
)
FAR_SHARE = 95
"""Percentile of the inverse depth that gets the brightest colour, so that a few near pixels do not darken the rest."""


@cache
def class_table() -> Tensor:
    """Colours of all 256 ids.  Returns: (256, 3) uint8, RGB."""
    table = torch.zeros(256, 3, dtype=torch.uint8)
    table[: len(CLASS_COLOURS)] = torch.tensor(CLASS_COLOURS, dtype=torch.uint8)
    return table


@cache
def _plasma() -> Tensor:
    from matplotlib import colormaps  # not every command draws

    return torch.tensor(colormaps["plasma"].colors)  # (256, 3)


def plasma(values: Tensor) -> Tensor:
    """Matplotlib's plasma, linear between its 256 entries; above 1 it stays at the last, NaN is black.

    Shapes:  values (B, 1, H, W), >= 0
    Returns: (B, 3, H, W) float32
    """
    table = _plasma().to(values.device)
    position = values[:, 0].nan_to_num(0.0) * len(table)
    lower = position.floor().clamp(0, len(table) - 1)
    weight = (position - lower).clamp(0, 1)[..., None]
    index = lower.long()
    colours = torch.lerp(table[index], table[(index + 1).clamp(max=len(table) - 1)], weight)
    return torch.where(values.isnan(), 0.0, colours.permute(0, 3, 1, 2))


def depth_image(depth: Tensor, valid: Tensor | None = None) -> Tensor:
    """Inverse depth in plasma, near = bright, scaled per image by its 95th percentile.

    Where `valid` is given, the percentile is over valid pixels and the others are black: measurements are
    sparse, and what was not measured would otherwise count as infinitely near.

    Shapes:  depth (B, 1, H, W), > 0 where valid; valid (B, 1, H, W) bool
    Returns: (B, 3, H, W) in [0, 1]
    """
    valid = torch.ones_like(depth, dtype=torch.bool) if valid is None else valid
    inverse = 1 / (depth + 1e-6)
    # Only the values from the percentile on are ordered: a tenth of the time of sorting all. Invalid pixels come last,
    # which keeps the batch in one tensor without a loop.
    pixels = inverse[0].numel()
    largest = torch.where(valid, inverse, -torch.inf).flatten(1).topk(pixels - pixels * FAR_SHARE // 100).values
    count = valid.flatten(1).sum(1, keepdim=True)
    above = (count - count * FAR_SHARE // 100 - 1).clamp_min(0)
    reference = largest.gather(1, above)[:, :, None, None]
    return plasma(inverse / (reference + 1e-6)) * valid


def class_image(ids: Tensor) -> Tensor:
    """Cityscapes colours of train ids.  ids (B, H, W) integer in [0, 255] -> (B, 3, H, W) in [0, 1]."""
    return class_table().to(ids.device)[ids.long()].permute(0, 3, 1, 2) / 255


def probability_image(probabilities: Tensor) -> Tensor:
    """Class colours weighted by probability.  (B, C, H, W) -> (B, 3, H, W) in [0, 1]."""
    table = class_table()[: probabilities.shape[1]].to(probabilities) / 255
    return torch.einsum("bchw,cr->brhw", probabilities, table)


def normals_image(normals: Tensor) -> Tensor:
    """Unit normals (B, H-1, W-1, 3) -> (B, 3, H, W) in [0, 1]; the last row and column are repeated."""
    return (pad(normals.permute(0, 3, 1, 2), (0, 1, 0, 1), mode="replicate") + 1) / 2
