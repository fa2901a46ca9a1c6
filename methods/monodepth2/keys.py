"""Keys of Monodepth2's published files: those of our network, under the name of their file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from methods.keys_of_parts import count, resnet_layers
from methods.method import Adopted

SIZE = {"encoder.height": "depth_resize_height", "encoder.width": "depth_resize_width"}
POSE = ("pose_encoder.", "pose.")


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """A published folder, or one file with its parts; the classifiers of the encoders are left out.

    The pose network may be missing.
    """
    if not {"encoder.encoder.conv1.weight", "depth.decoder.0.conv.conv.weight"} <= {*state}:
        return None
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor) and ".fc." not in key}
    options: dict[str, Any] = {
        "model_num_layers": resnet_layers(tensors, "encoder.encoder."),
        "model_depth_resolutions": count(tensors, r"depth\.decoder\.\d+\.conv\.weight"),
    }
    if has_pose := "pose_encoder.encoder.conv1.weight" in tensors:
        options["model_num_layers_pose"] = resnet_layers(tensors, "pose_encoder.encoder.")
    options |= {name: state[key] for key, name in SIZE.items() if key in state}
    unused = sum(isinstance(value, Tensor) for value in state.values()) - len(tensors)
    return Adopted(tensors, options, unused=unused, lacks={} if has_pose else {"pose": POSE})
