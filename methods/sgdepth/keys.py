"""Keys of SGDepth's published files, which are those of our network, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from methods.keys_of_parts import count, resnet_layers
from methods.method import Adopted

GAIN = "common.attended.attention.gain"  # of an attention that SGDEM learns to weigh


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """A file with the keys of SGDepth, unless something in it tells SGDEM's attention."""
    if "common.encoder.encoder.conv1.weight" not in state or attention_of(state):
        return None
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return Adopted(tensors, shape_of(tensors))


def shape_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """Options of the network a state dict was made with, as far as its keys tell."""
    shape = {"model_num_layers": resnet_layers(state, "common.encoder.encoder.")}
    if any(".decoder.blocks." in key for key in state):
        shape["model_split_pos"] = (count(state, r"common\.decoder\.blocks\.step_(\d+)\.conv\.weight") + 1) // 2
    if "depth.multires.convs.0.weight" in state:
        shape["model_depth_resolutions"] = count(state, r"depth\.multires\.convs\.(\d+)\.weight")
    if "pose.encoder.encoder.conv1.weight" in state:
        shape["model_num_layers_pose"] = resnet_layers(state, "pose.encoder.encoder.")
    if "seg.multires.convs.0.weight" in state:
        shape["model_num_classes"] = next(iter(state["seg.multires.convs.0.weight"].shape), 0)
    return shape


def attention_of(state: Mapping[str, Any]) -> str:
    """Attention of SGDEM a state dict was made with, where its keys tell; attention itself has no weights.

    Layers that the released SGDEM code has and never uses mean ``released``, a learned gain means ``bottleneck``; ""
    where both methods have the same keys.
    """
    if any(".convx." in key for key in state):
        return "released"
    return "bottleneck" if GAIN in state else ""
