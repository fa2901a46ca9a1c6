"""What networks have in common whose depth is in metres: an input normalised as for ImageNet, a largest depth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from perspective_resample.depth import DepthMap
from perspective_resample.input_view import InputView

from .encoders import IMAGENET_MEAN, IMAGENET_STD

LEAST = 1e-3  # metres: where protocols begin to count; a sigmoid may come to 0


class MetricNetwork(nn.Module):
    """A network that says depth in metres of RGB in [0, 1]; see `methods.method.Network` for what subclasses have.

    max_depth: metres, to which their sigmoid is stretched
    """

    input_fit = "multiple"  # in use it sees images at their own size, or nearly
    size_divisor = 32
    views: Mapping[str, InputView] = {}  # by data set, where it sees a part of the images

    def __init__(self, max_depth: float):
        super().__init__()
        self.max_depth = max_depth
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def normalise(self, image: Tensor) -> Tensor:
        """RGB in [0, 1] -> ImageNet-normalised; any (B, 3, H, W). Convolutions go on in the layout of their weights."""
        return (image - self.mean) / self.std


def in_metres(depth: Tensor) -> DepthMap:
    """Depth (B, 1, H, W) in metres as predictions have it: at least where protocols begin to count."""
    return DepthMap(depth.clamp_min(LEAST), inverse=False, known="metres")
