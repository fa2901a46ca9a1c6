"""What a student learns from the maps of its teacher: differences, their Laplacian parts, and replaced blocks.

Source: Song & Kim, Decomposition and replacement, JVCIR 85, 2022. Plain tensor operations that never wait for the
device; everything is computed in float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FEATURE = (1.0, 2.0, 2.0, 5.0, 5.0)
LAPLACIAN = (2.0, 2.0, 2.0, 5.0, 5.0)
"""Weights of the five maps of the decoder, coarsest first."""
BLOCKS = (2, 2, 7, 7)
"""Sides of the blocks that are replaced: in the deepest map of the encoder and the first three of the decoder."""


def decomposition(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Two bands of a Laplacian pyramid and the rest: (B, C, h, w) -> itself, half and quarter of the size.

    Odd sizes are halved to the smaller integer, yet sampled two pixels apart, as the factor says; 1 stays 1.
    """
    half = _halved(x)
    quarter = _halved(half)
    return _without(x, half), _without(half, quarter), quarter


def _halved(x: Tensor) -> Tensor:
    if 1 in x.shape[-2:]:
        down, across = (int(side == 1) for side in x.shape[-2:])
        x = F.pad(x, (0, across, 0, down), mode="replicate")
    return F.avg_pool2d(x, 2)  # what bilinear halving comes to, with a faster way back


def _without(x: Tensor, coarse: Tensor) -> Tensor:
    return x - F.interpolate(coarse, x.shape[-2:], mode="bilinear", align_corners=False)


def compared_maps(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """Differences d of five maps (B, C, h, w), coarsest first.

        feature:     a_i mean(d^2)
        laplacian_1: b_i mean|lap1(d)|, laplacian_2 likewise
        laplacian_3: b_i mean(lap3(d)^2)

    The decomposition is linear, so that of the difference is the difference of both.

    Returns: scalars of every map, by term.
    """
    found: dict[str, list[Tensor]] = {"feature": [], "laplacian_1": [], "laplacian_2": [], "laplacian_3": []}
    for mine, theirs, feature, laplacian in zip(student, teacher, FEATURE, LAPLACIAN, strict=True):
        difference = mine.float() - theirs.float()
        fine, middle, rest = decomposition(difference)
        found["feature"].append(feature * difference.square().mean())
        found["laplacian_1"].append(laplacian * fine.abs().mean())
        found["laplacian_2"].append(laplacian * middle.abs().mean())
        found["laplacian_3"].append(laplacian * rest.square().mean())
    return found


def block_mask(noise: Tensor, probability: float, block: int) -> Tensor:
    """Blocks to replace: (B, h, w) uniform in [0, 1) -> (B, 1, h, w) bool.

    A pixel is the seed of a block with probability / block^2; blocks of even sides extend down and right, others are
    centred, and all are cut at the border.
    """
    seeds = (noise < probability / block**2).float()[:, None]
    covered = F.max_pool2d(seeds, block, stride=1, padding=block // 2)
    height, width = noise.shape[1:]
    return covered[..., :height, :width] > 0


def replaced_difference(before: Tensor, partner: Tensor, mask: Tensor) -> Tensor:
    """Mean of |before - partner| (B, C, h, w) over what the mask (B, 1, h, w) covers; 0 where it covers nothing.

    before: the map of the student as it was before it was replaced
    """
    difference = (before.float() - partner.float()).abs().where(mask, 0.0)
    return difference.sum() / (mask.sum() * before.shape[1]).clamp(min=1)


def weighted(terms: Mapping[str, Sequence[Tensor]], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Each term summed over its maps and times its weight, by name."""
    return {name: weights[name] * torch.stack([*values]).sum() for name, values in terms.items()}


def share_replaced(step: int, ramp: float, most: float = 0.2) -> float:
    """Share of a map that is replaced in a step, counted from 0: rises from 0 to `most` in `ramp` steps.

    The released code sets it after a step for the next one, so that the first two have 0.
    """
    return most * min(max(step - 1, 0) / ramp, 1.0)


RAMP_ENDS = 25  # epochs before the end of the schedule


def ramp_length(epochs: int, steps: int) -> float:
    """Steps in which the share rises: all but the last 25 epochs of so many steps; half of them where there are fewer.

    The released code divides by 0 at 25 epochs, and begins with the whole share below.
    """
    return max(1.0, (epochs - RAMP_ENDS) * steps if epochs > RAMP_ENDS else epochs * steps / 2)
