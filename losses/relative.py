"""Depth against a teacher's, known up to scale and shift: plain tensor operations that never wait for the device.

A student's inverse depth d and the teacher's t are compared as

    n(x) = (x - m(x)) / s(x),   m: median of the image,   s: mean of the least 4/5 of |x - m(x)| over the image

so that n(a x + b) = n(x) for every a > 0: no loss of this file falls or rises with the contrast of d or its offset, and
its gradient has no part along either. n(t), the fit of the teacher, has no gradient. Medians of even numbers are the
lower of the two in the middle. Everything is computed in float32, or float64 where that is given.

Source: Ranftl et al., Towards Robust Monocular Depth Estimation (MiDaS, arXiv 1907.01341), section 5. There s is the
mean over all pixels, which a few that are far off decide; the loss leaves out a fifth of them there, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from errors import check_shape

from .reduction import Denominator, own_count

STEPS = (1, 2, 4, 8)
"""The four scales of gradients: every so many rows and columns."""
GRADIENT_WEIGHT = 0.5
LEAST_CONTRAST = 0.01
"""Spread of a student's inverse depth by its median below which it is divided by that: flat maps have no shape yet."""
TOLERANCE = 0.1
"""How far two answers of a teacher may lie apart to agree, in units of their spread."""


Count = TypeVar("Count", int, Tensor)


def kept(number: Count) -> Count:
    """How many of so many pixels count, those with the least differences: four fifths, rounded down."""
    return number * 4 // 5


def exact(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def median_and_spread(x: Tensor) -> tuple[Tensor, Tensor]:
    """Medians m and spreads s of all images: (B, 1, H, W) -> two times (B, 1, 1, 1)."""
    flat = x.flatten(1)
    pixels = flat.shape[1]
    middle = flat.sort(1).values[:, (pixels - 1) // 2, None]
    spread = (flat - middle).abs().sort(1).values[:, : kept(pixels)].mean(1)
    return middle.view(-1, 1, 1, 1), spread.view(-1, 1, 1, 1)


def standardised(x: Tensor, least: float = 0.0) -> Tensor:
    """n(x) of every image; s is `least` times |m| at least.  Shapes: (B, 1, H, W) -> the same."""
    middle, spread = median_and_spread(x)
    floor = (least * middle.detach().abs()).clamp_min(torch.finfo(x.dtype).tiny)
    return (x - middle) / torch.maximum(spread, floor)


def compared(inverse: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """n(d), and n(t) without gradient.

    Shapes:  inverse, teacher (B, 1, H, W) inverse depth.    Raises: ValueError when they differ in shape.
    """
    check_shape("teacher: inverse depth", teacher, *inverse.shape)
    return standardised(exact(inverse), LEAST_CONTRAST), standardised(exact(teacher).detach())


@torch.no_grad()
def aligned(teacher: Tensor, inverse: Tensor) -> Tensor:
    """The teacher's answer in the units of the student: n(t) s(d) + m(d), without gradient.

    A flat answer becomes m(d).  Shapes: (B, 1, H, W) each -> the same.
    """
    middle, spread = median_and_spread(exact(inverse))
    return standardised(exact(teacher)) * spread + middle


def residual(inverse: Tensor, teacher: Tensor) -> Tensor:
    """R = n(d) - n(t).  Shapes: inverse, teacher (B, 1, H, W) inverse depth, of any scale and shift -> the same."""
    own, other = compared(inverse, teacher)
    return own - other


def trimmed(rest: Tensor, counted: Tensor, denominator: Denominator = own_count) -> Tensor:
    """Scale- and shift-invariant difference, without the fifth of the pixels of an image where it is largest.

        sum over images of  sum of the least 4/5 M of |R|   /   (2 sum over images of M)

    M: pixels of the image that count.  Source: MiDaS, eq. 8.

    Shapes:  rest (B, 1, H, W), see `residual`; counted (B, 1, H, W) bool
    Returns: scalar, >= 0; 0 with a gradient of 0 where no pixel counts.
    """
    known = counted.flatten(1)
    count = known.sum(1)
    ordered = rest.abs().flatten(1).where(known, math.inf).sort(1).values
    least = torch.arange(ordered.shape[1], device=count.device) < kept(count)[:, None]
    return ordered.where(least, 0.0).sum() / (2 * denominator(count.sum()))


def matched_gradients(rest: Tensor, counted: Tensor, denominator: Denominator = own_count) -> Tensor:
    """How unlike the steps between neighbouring pixels are, at four scales.

        sum over k in {1, 2, 4, 8} of  (sum |dx R_k| + sum |dy R_k|) / M_k

    R_k: every k-th row and column of R; M_k: its pixels that count; a step counts where both of its pixels do.
    Source: MiDaS, eq. 11, divided as in its reference code.

    Shapes:  as `trimmed`.    Returns: scalar, >= 0.
    """
    sums, counts = [], []
    for step in STEPS:
        coarse, known = (maps[..., ::step, ::step] for maps in (rest, counted))
        sums.append(sum(_steps(coarse, known, axis) for axis in (2, 3)))
        counts.append(known.sum())
    return (torch.stack(sums) / denominator(torch.stack(counts))).sum()


def _steps(x: Tensor, known: Tensor, axis: int) -> Tensor:
    """Sum of the absolute differences of known neighbours along an axis."""
    length = x.shape[axis] - 1
    both = known.narrow(axis, 1, length) & known.narrow(axis, 0, length)
    return x.diff(dim=axis).abs().where(both, 0.0).sum()


@torch.no_grad()
def agreement(answers: Sequence[Tensor]) -> Tensor:
    """Where two answers to the same images agree: |n(t) - n(t')| <= 0.1.  (B, 1, H, W) each -> the same, bool."""
    first, second = (standardised(exact(answer)) for answer in answers)
    return (first - second).abs() <= TOLERANCE
