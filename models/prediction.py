"""What networks say about images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from perspective_resample.depth import DepthMap, scale_disparity


@dataclass(frozen=True)
class Outputs:
    """What a self-supervised network predicts for one data set in training; what was not asked for is empty.

    `disp[r]` (B, 1, H/2^r, W/2^r) sigmoid disparity in (0, 1), r = 0 the finest;
    `logits` (B, C, H, W) before softmax; `ids` (B, H, W) int64 most likely class, `sure` (B, H, W) its probability
    without that of the next one, both without gradient;
    `motion[f]` (B, 4, 4), points of the target camera -> camera of frame f.
    """

    disp: dict[int, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None
    ids: Tensor | None = None
    sure: Tensor | None = None
    motion: dict[int, Tensor] = field(default_factory=dict)

    def prediction(self, depth_range: tuple[float, float]) -> Prediction:
        """The same in use: the finest disparity as inverse depth, 1 and 0 standing for the ends of `depth_range`."""
        depth = None
        if self.disp:
            inverse = scale_disparity(self.disp[0].float(), *depth_range)
            depth = DepthMap(inverse, inverse=True, known="up to scale")
        return Prediction(depth, self.logits)


@dataclass(frozen=True)
class Prediction:
    """What a network predicts of images; what was not asked for, or what it cannot predict, is None.

    `depth` of B images at network size, or coarser where nothing finer is known; `logits` (B, C, h, w) before softmax;
    `layers` by name, further maps that depth is made of, of any size.
    """

    depth: DepthMap | None = None
    logits: Tensor | None = None
    layers: Mapping[str, DepthMap] = field(default_factory=dict)
