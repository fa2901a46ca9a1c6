"""Other colours on the device, per sample, for a batch at once.

Jitter is Pillow's arithmetic on whole grey levels; the colours of supervised methods are plain arithmetic in [0, 1].

Brightness, contrast and saturation blend with black, the mean grey and the grey image; hue turns the hue of an 8-bit
HSV image. Pillow cuts every result to a whole level, so must this: three cuts left out would add 1.5 levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor

from errors import check_shape

LEVELS = 255
FACTORS = 4
"""Columns of the factors: brightness, contrast, saturation, hue."""
ORDERS = (*permutations(range(FACTORS)),)
"""In which the four may change an image, as columns of the factors; the first is that of SGDepth."""
AS_IT_IS = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 2.0)
"""Row of `recolour` that changes nothing."""


def color_jitter(images: Tensor, factors: Tensor, order: Sequence[int] = ORDERS[0]) -> Tensor:
    """Changes brightness, contrast, saturation and hue, in one of `ORDERS`; all frames of a sample alike.

    Shapes:  images (B, F, 3, H, W) RGB in [0, 1], taken as 8-bit levels
             factors (B, >= 4): three factors >= 0 with 1 = unchanged, then the turn of the hue in [-0.5, 0.5]
    Returns: (B, F, 3, H, W) in [0, 1], whole levels of 1/255; within 2/255 of torchvision's on Pillow images.

    Raises:
        ValueError: when the shapes do not fit.
    """
    check_shape("color_jitter: images", images, factors.shape[0], None, 3, None, None)
    return jitter_levels((images * LEVELS).round_(), factors, order) / LEVELS


def jitter_levels(levels: Tensor, factors: Tensor, order: Sequence[int] = ORDERS[0]) -> Tensor:
    """As `color_jitter` for whole levels 0..255 stored as float32; changes and returns `levels`."""
    columns = factors[:, :FACTORS].to(levels).T[..., None, None, None, None]
    for column in order:
        _CHANGES[column](levels, columns[column])
    return levels


def recolour(images: Tensor, rows: Tensor) -> Tensor:
    """Gamma, brightness and factors of the channels, then channels in another order, cut to [0, 1].

        y = clip((x^gamma * brightness * factor_c)[order], 0, 1)

    Source: LapDepth (TCSVT 2021) and Spatial-KD (JVCIR 2022), augmentation.

    Shapes:  images (F, B, 3, H, W) RGB in [0, 1]
             rows (B, 8): gamma, brightness, three factors, then for each channel the one that takes its place
    Returns: (F, B, 3, H, W) in [0, 1].
    """
    check_shape("recolour: images", images, None, len(rows), 3, None, None)
    gamma, factors, order = rows[:, :1, None, None], rows[:, 1:2] * rows[:, 2:5], rows[:, 5:].long()
    changed = images.pow(gamma).mul_(factors[..., None, None])
    samples = torch.arange(len(rows), device=rows.device)[:, None]
    return changed[:, samples, order].clamp_(0, 1)


def _brighten(levels: Tensor, factor: Tensor) -> None:
    _cut(levels.mul_(factor))


def _contrast(levels: Tensor, factor: Tensor) -> None:
    mean = _grey(levels).mean((-2, -1), keepdim=True).add_(0.5).floor_()[:, :, None]  # (B, F, 1, 1, 1)
    _blend(levels, mean, factor)


def _saturate(levels: Tensor, factor: Tensor) -> None:
    _blend(levels, _grey(levels)[:, :, None], factor)


def _cut(levels: Tensor) -> Tensor:
    return levels.clamp_(0, LEVELS).floor_()


def _blend(levels: Tensor, other: Tensor, factor: Tensor) -> None:
    """Moves `levels` away from `other`, in place: other + factor (levels - other)."""
    _cut(levels.sub_(other).mul_(factor).add_(other))


def _grey(levels: Tensor) -> Tensor:
    """(B, F, 3, H, W) -> (B, F, H, W) luma in whole levels (ITU-R 601-2, 16-bit fixed point as in Pillow)."""
    red, green, blue = levels.unbind(2)
    # The sum stays below 2^24, so float32 holds it exactly.
    return (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471).add_(32768).mul_(1 / 65536).floor_()


def _turn_hue(levels: Tensor, hue: Tensor) -> None:
    """RGB -> 8-bit HSV, hue + its turn modulo 256 -> RGB, in place.  hue (B, 1, 1, 1, 1), shares of the circle."""
    # Pillow stores hue as a byte and lets the sum wrap around; the turn is cut towards zero first.
    turn = (hue * LEVELS).trunc_()[:, 0]
    value = levels.amax(2)  # (B, F, H, W)
    span = value - levels.amin(2)
    sector = _hue(levels, value, span).add_(turn)
    sector.sub_((sector / 256).floor_().mul_(256)).mul_(6 / LEVELS)  # 0..6
    saturation = (span * LEVELS).div_(value.clamp(min=1)).floor_().div_(LEVELS)
    # Share of the colour that each channel keeps at this place of the circle, 0..1.
    shares = ((sector - 3).abs_().sub_(1), 2 - (sector - 2).abs_(), 2 - (sector - 4).abs_())
    for channel, share in enumerate(shares):
        lost = share.clamp_(0, 1).neg_().add_(1).mul_(saturation).mul_(value)
        torch.sub(value, lost, out=levels[:, :, channel]).add_(0.5).floor_()


def _hue(levels: Tensor, value: Tensor, span: Tensor) -> Tensor:
    """Hue as Pillow stores it, whole steps of 1/255 of the circle, cut.

    The cut falls on the border between two steps for many colours, and one step moves a channel by up to six levels.
    So the sums below round once, as Pillow's do: a distance of 1, that of the smallest channel, joins the constant.
    """
    red, green, blue = (value[:, :, None] - levels).div_(span.clamp(min=1)[:, :, None]).unbind(2)
    # The distance of the largest channel is 0; where two are largest, red goes before green before blue.
    green_largest = torch.where(red >= blue, 3 - blue, 1 + red)
    blue_largest = torch.where(green >= red, 5 - red, 3 + green)
    sector = torch.where(red == 0, blue - green, torch.where(green == 0, green_largest, blue_largest)).div_(6)
    return sector.sub_(sector.floor()).mul_(LEVELS).floor_()


_CHANGES = (_brighten, _contrast, _saturate, _turn_hue)
"""By columns of the factors; each cuts to whole levels, in place."""
