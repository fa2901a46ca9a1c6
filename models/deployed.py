"""A network as others run it: tensors in, named tensors out, nothing of this program around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from perspective_resample.depth import DepthMap

TASKS = ("depth", "segmentation")


class Deployed(nn.Module):
    """What a network says of images, at their size and under the names of its outputs.

    network: normalises images itself; see `methods.method.Network`

    Shapes:  image (N, 3, H, W) RGB in [0, 1]
    Returns: ``depth`` or ``inverse_depth`` (N, 1, H, W) float32, the quantity the network predicts; ``labels`` (N, H,
             W) uint8 where it knows classes
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict."""
        prediction = self.network.predict(image, TASKS)
        depth = prediction.depth.at(image.shape[-2:])
        found = {name_of(depth): depth.values}
        if prediction.logits is not None:
            found["labels"] = prediction.logits.argmax(1).to(torch.uint8)
        return found


def name_of(depth: DepthMap) -> str:
    """Name of the output with a depth map."""
    return "inverse_depth" if depth.inverse else "depth"


class Widened(nn.Module):
    """Half-precision weights as float32: what `torch.nn.utils.parametrize` puts before their use."""

    def forward(self, weight: Tensor) -> Tensor:
        """Widen."""
        return weight.float()
