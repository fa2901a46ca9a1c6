"""Depth, classes, normals and probabilities as RGB images in [0, 1]; every function takes a whole batch."""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

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
DIMMED = 0.4
"""Brightness of an image below what is shown on top of it."""
SPARSE = 0.3
"""Share of measured pixels below which they are shown as dots."""
PIXELS_PER_DOT = 600
"""Width of a picture for which dots grow by two pixels."""


@cache
def class_table() -> Tensor:
    """Colours of all 256 ids.  Returns: (256, 3) uint8, RGB."""
    table = torch.zeros(256, 3, dtype=torch.uint8)
    table[: len(CLASS_COLOURS)] = torch.tensor(CLASS_COLOURS, dtype=torch.uint8)
    return table


@cache
def _colours(name: str) -> Tensor:
    from matplotlib import colormaps  # not every command draws

    return torch.tensor(colormaps[name].colors)  # (256, 3)


def plasma(values: Tensor) -> Tensor:
    """`coloured` by Matplotlib's plasma."""
    return coloured(values, "plasma")


def coloured(values: Tensor, colormap: str) -> Tensor:
    """A colour map of Matplotlib, linear between its 256 entries; above 1 it stays at the last, NaN is black.

    Shapes:  values (B, 1, H, W), >= 0
    Returns: (B, 3, H, W) float32
    """
    table = _colours(colormap).to(values.device)
    position = values[:, 0].nan_to_num(0.0) * len(table)
    lower = position.floor().clamp(0, len(table) - 1)
    weight = (position - lower).clamp(0, 1)[..., None]
    index = lower.long()
    colours = torch.lerp(table[index], table[(index + 1).clamp(max=len(table) - 1)], weight)
    return torch.where(values.isnan(), 0.0, colours.permute(0, 3, 1, 2))


def depth_image(depth: Tensor, valid: Tensor | None = None, near: Tensor | None = None) -> Tensor:
    """Inverse depth in plasma, near = bright, scaled per image by its 95th percentile, or by `near`.

    Where `valid` is given, the percentile is over valid pixels and the others are black: measurements are
    sparse, and what was not measured would otherwise count as infinitely near.

    Shapes:  depth (B, 1, H, W), > 0 where valid; valid (B, 1, H, W) bool; near (B, 1, 1, 1), as of `near_end`
    Returns: (B, 3, H, W) in [0, 1]
    """
    valid = torch.ones_like(depth, dtype=torch.bool) if valid is None else valid
    near = near_end(depth, valid) if near is None else near
    return plasma(1 / (depth + 1e-6) / (near + 1e-6)) * valid


def near_end(depth: Tensor, valid: Tensor) -> Tensor:
    """Inverse depth that gets the brightest colour: the 95th percentile of each image, -inf where nothing is valid.

    Shapes:  depth, valid (B, 1, H, W)
    Returns: (B, 1, 1, 1)
    """
    # Only the values from the percentile on are ordered: a tenth of the time of sorting all. Invalid pixels come last,
    # which keeps the batch in one tensor without a loop.
    inverse = 1 / (depth + 1e-6)
    pixels = inverse[0].numel()
    largest = torch.where(valid, inverse, -torch.inf).flatten(1).topk(pixels - pixels * FAR_SHARE // 100).values
    count = valid.flatten(1).sum(1, keepdim=True)
    above = (count - count * FAR_SHARE // 100 - 1).clamp_min(0)
    return largest.gather(1, above)[:, :, None, None]


def dot_size(truth: Tensor) -> int:
    """Side in pixels of the dots that measurements (B, 1, H, W), 0 = none, are shown as: 1 where they are dense."""
    sparse = (truth > 0).float().mean() < SPARSE
    return 2 * round(truth.shape[-1] / PIXELS_PER_DOT) + 1 if sparse else 1


def as_dots(size: int, depth: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
    """Measured depth and what belongs to its pixels, enlarged to dots that can be seen; the nearest is in front.

    Shapes:  depth (B, 1, H, W), 0 = none; maps (B, 1, H, W) each
    Returns: all of them, (B, 1, H, W); depth 0 and the others NaN between the dots
    """
    if size == 1:
        shown, spread = depth > 0, [depth, *maps]
    else:
        inverse = torch.where(depth > 0, 1 / depth, 0.0)
        nearest, place = max_pool2d(inverse, size, stride=1, padding=size // 2, return_indices=True)
        shown = nearest > 0
        spread = [each.flatten(2).gather(2, place.flatten(2)).view_as(each) for each in (depth, *maps)]
    return torch.where(shown, spread[0], 0.0), *(torch.where(shown, each, torch.nan) for each in spread[1:])


def truth_image(truth: Tensor, near: Tensor | None = None) -> Tensor:
    """Measurements as dots, coloured as `depth_image` does, on black.

    Shapes:  truth (B, 1, H, W), 0 = none; near (B, 1, 1, 1)
    Returns: (B, 3, H, W) in [0, 1]
    """
    (dots,) = as_dots(dot_size(truth), truth)
    return depth_image(dots, dots > 0, near_end(truth, truth > 0) if near is None else near)


def error_image(image: Tensor, depth: Tensor, truth: Tensor, end: float, size: int) -> Tensor:
    """Relative errors |g - p| / g as dots over the image, which is grey and dark: blue is exact, red is `end` and more.

    size: of the dots

    Shapes:  image (B, 3, H, W) in [0, 1]; depth (B, 1, H, W) > 0; truth (B, 1, H, W), 0 = not compared
    Returns: (B, 3, H, W) in [0, 1]
    """
    dots, error = as_dots(size, truth, (depth - truth).abs() / truth)
    return torch.where(dots > 0, coloured(error / end, "turbo"), dimmed(image))


def dimmed(image: Tensor) -> Tensor:
    """An image (B, 3, H, W) in [0, 1] in dark grey."""
    return (DIMMED * image.float().mean(1, keepdim=True)).expand_as(image)


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
