"""Refinement where a network is used: the network with its disparity refined patch by patch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .refine import PatchRefiner
from .scales import Estimate


class Network(Protocol):
    """A network that can be its own teacher."""

    depth_range: tuple[float, float]

    def outputs(self, image: Tensor, tasks: Sequence[str]) -> Any:
        """A frozen dataclass: `disp[0]` (B, 1, H, W), and `prediction(depth_range)`, what is made of it."""

    def depth_branch(self) -> Estimate:
        """RGB in [0, 1] -> finest disparity."""


class RefinedNetwork(nn.Module):
    """A network in use whose finest disparity is refined; it estimates the patches itself.

    Args:
        network: a torch module, see `Network`.
        refiner: from selection to fusion.
        teacher: frozen second source, or None.
        patch_size: side of the patches, to be told.

    Attributes:
        seconds: what refining took of the last call of `predict`.
    """

    def __init__(self, network: Network, refiner: PatchRefiner, teacher: nn.Module | None, patch_size: int):
        super().__init__()
        self.network, self.refiner, self.teacher, self.patch_size = network, refiner, teacher, patch_size
        self.input_filter = getattr(network, "input_filter", "bilinear")
        self.seconds = 0.0
        self.eval()

    def predict(self, image: Tensor, tasks: Sequence[str] = ("depth", "segmentation")) -> Any:
        """Predictions of the network for images (B, 3, H, W) in [0, 1], depth refined."""
        outputs = self.network.outputs(image, tasks)
        self.seconds = 0.0
        if outputs.disp:
            start = _now(image.device)
            refined = self.refiner(image, outputs.disp[0], self.network.depth_branch(), self.teacher)
            outputs = replace(outputs, disp={**outputs.disp, 0: refined.disparity})
            self.seconds = _now(image.device) - start
        return outputs.prediction(self.network.depth_range)

    def describe(self) -> dict[str, Any]:
        """Description for metrics.json of the network, and how its depth is refined, in plain values."""
        said = self.network.describe() if hasattr(self.network, "describe") else {}
        refiner = self.refiner
        return said | {
            "refinement": {
                "teacher": "none" if self.teacher is None else self.teacher.identity,
                "patch_size": self.patch_size,
                "patch_max": refiner.maximum,
                "enlarge": refiner.enlarge,
                "fusion_weight": refiner.share,
                "blend": refiner.blend,
            }
        }


def _now(device: torch.device) -> float:
    """A clock that waits for what the GPU still does; the search for patches waits for it anyway."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
