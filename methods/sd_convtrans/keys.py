"""Keys of SD-ConvTrans's published files: those of our network, with layers that it never uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from methods.keys_of_parts import count
from methods.method import Adopted

UNUSED = ("decode_head.", "tbdn.conv1.")  # a segmentation head, and a convolution of the diffusion block
KERNEL = "tbdn.conv_gg.weight"
JOINED = "tbdn.conv2.0.weight"  # from U, with what diffusion makes of it, to twice as many channels as U has
MARKS = {"layer0.0.weight", "latlayer1.weight", JOINED, "predict2.0.weight"}
DRAWN = "it has no kernel of the diffusion, which the released code draws in every pass; one drawn once takes its place"
UNSAID = (
    "nothing says how its input is normalised; taken for published weights, --input-norm none; a network trained here "
    "needs --input-norm imagenet, or the files that lay beside it"
)


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """A file with the keys of the network.

    The layers that published files have besides tell them from ours.
    """
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors.keys() >= MARKS or tensors[JOINED].ndim != 4:
        return None
    used = {key: value for key, value in tensors.items() if not key.startswith(UNUSED)}
    twice, joined = used[JOINED].shape[:2]
    U = twice // 2
    options: dict[str, Any] = {
        "model_num_layers": _layers(used),
        "model_transformer": any(key.startswith("backbone.") for key in used),
        "diffusion_kernel": "none" if joined == U else "trained",
        "input_norm": "none",
    }
    doubts = {} if len(used) < len(tensors) else {"input_norm": UNSAID}
    if options["diffusion_kernel"] == "trained" and KERNEL not in used:
        used[KERNEL] = _drawn(U, used[JOINED])
        doubts["diffusion_kernel"] = DRAWN
    return Adopted(used, options, doubts, unused=len(tensors) - len(used) + (KERNEL not in tensors))


def _layers(state: Mapping[str, Tensor]) -> int:
    """Layers of the ResNet."""
    blocks = count(state, r"layer[1-4]\.0\.\d+\.conv1\.weight")
    return (3 if "layer1.0.0.conv3.weight" in state else 2) * blocks + 2


def _drawn(channels: int, like: Tensor) -> Tensor:
    """First weights of the kernel as torch draws them, always the same."""
    bound = (9 * channels) ** -0.5
    drawn = torch.rand(channels, channels, 3, 3, generator=torch.Generator().manual_seed(0))
    return ((2 * drawn - 1) * bound).to(like.dtype)
