"""Refinement where a network is used: its disparity replaced by the refined one."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from .refine import PatchRefiner
from .scales import Estimate
from .selection import automatic_size


class Prediction(Protocol):
    """A frozen dataclass of outputs; `disp[0]` (B, 1, H, W) is the finest disparity."""

    disp: dict[int, Tensor]


class Network(Protocol):
    """A network that can be its own teacher."""

    def depth_branch(self) -> Estimate:
        """RGB in [0, 1] -> finest disparity."""


P = TypeVar("P", bound=Prediction)


class Refinement:
    """Predictions whose finest disparity is refined patch by patch; the network itself estimates the patches.

    Args:
        refiner: from selection to fusion.
        teacher: frozen second source, or None.
    """

    def __init__(self, refiner: PatchRefiner, teacher: nn.Module | None = None):
        self.refiner, self.teacher = refiner, teacher

    def to(self, device: torch.device) -> Refinement:
        """Itself, with the teacher on `device`."""
        if self.teacher is not None:
            self.teacher.to(device)
        return self

    def describe(self, height: int) -> dict[str, object]:
        """How images of this height are refined, in plain values."""
        refiner = self.refiner
        return {
            "teacher": "none" if self.teacher is None else self.teacher.identity,
            "patch_size": refiner.size or automatic_size(height),
            "patch_max": refiner.maximum,
            "enlarge": refiner.enlarge,
            "fusion_weight": refiner.share,
            "blend": refiner.blend,
        }

    def __call__(self, network: Network, image: Tensor, prediction: P) -> P:
        """Refine what a network, in evaluation mode, said about images (B, 3, H, W) in [0, 1]."""
        refined = self.refiner(image, prediction.disp[0], network.depth_branch(), self.teacher)
        return replace(prediction, disp={**prediction.disp, 0: refined.disparity})
