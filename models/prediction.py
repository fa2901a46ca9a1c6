"""What a network says about a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """Outputs for one data set; what was not asked for is empty.

    `disp[r]` (B, 1, H/2^r, W/2^r) sigmoid disparity in (0, 1), r = 0 the finest;
    `logits` (B, C, H, W) before softmax; `ids` (B, H, W) int64 most likely class, without gradient;
    `motion[f]` (B, 4, 4), points of the target camera -> camera of frame f.
    """

    disp: dict[int, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    ids: Tensor | None = None
    motion: dict[int, Tensor] = field(default_factory=dict)
