"""How depth that is known up to something is made comparable with metres, image by image.

A network that knows depth up to scale is scaled by the medians, as is customary since Zhou et al. One that knows
inverse depth up to scale and shift gets both fitted, as its authors do (Ranftl et al., arXiv 1907.01341); such numbers
are no comparison for networks that get a scale only.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from errors import UserError
from perspective_resample.depth import Known

Alignment = Literal["auto", "none", "fixed", "median", "least squares"]
BY_KNOWLEDGE: dict[Known, Alignment] = {
    "metres": "none",
    "up to scale": "median",
    "up to scale and shift": "least squares",
}


def alignment_of(known: Known, asked: Alignment, fixed_scaling: float) -> Alignment:
    """How depth is aligned that is known so: as a protocol asks, by default as it needs.

    Raises:
        UserError: when a scaling is asked for alone, or none, for what needs a shift, too.
    """
    alignment = BY_KNOWLEDGE[known] if asked == "auto" else asked
    if known == "up to scale and shift" and alignment != "least squares":
        raise UserError(
            f"--depth-alignment {alignment}: the network knows no metres, its scale and shift are fitted to every "
            "image; leave it out"
        )
    if not fixed_scaling:
        return alignment
    if alignment == "least squares":
        raise UserError(
            "--depth-validation-fixed-scaling: the network knows no metres, its scale and shift are fitted to every "
            "image; leave it out"
        )
    return "fixed"


def median(values: Tensor, lower: bool = False) -> Tensor:
    """NumPy's median, the mean of the two middle values, or PyTorch's, the lower of them.

    (N,) -> scalar of the same dtype.
    """
    ordered = values.sort().values
    if lower:
        return ordered[(len(ordered) - 1) // 2]
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def fitted(inverse: Tensor, depth: Tensor, index: Tensor) -> Tensor:
    """The line in `inverse` that fits 1 / depth best over some pixels, in squares.

    Shapes:  inverse (H, W) any scale; depth (N,) metres; index (N,) of their pixels in the flattened map
    Returns: (H, W) 1/m, of any sign; constant where `inverse` is; zeros where there is no pixel.
    """
    if not len(index):
        return torch.zeros_like(inverse)
    wanted = 1 / depth.double()
    given = inverse.reshape(-1)[index].double()
    offset = given - given.mean()
    variance = offset.square().sum()
    scale = torch.where(variance > 0, (offset * wanted).sum() / variance.clamp_min(1e-300), 0.0)
    return (scale * (inverse.double() - given.mean()) + wanted.mean()).float()
