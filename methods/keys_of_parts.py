"""What keys of a state dict tell of parts that many networks have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from .method import Adopted

SIZE = {"height": "depth_resize_height", "width": "depth_resize_width"}
POSE = ("pose_encoder.", "pose.")
STEREO = (
    "trained with stereo pairs, so that its depth times 5.4 is metres; as published, it is judged with "
    "--depth-validation-fixed-scaling 5.4 of eval_depth.py, not by medians (inference.py: --depth-scale 5.4)"
)


def count(keys: Iterable[str], pattern: str) -> int:
    """Number of keys that match as a whole."""
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


def resnet_layers(keys: Iterable[str], prefix: str) -> int:
    """Layers of a torchvision ResNet whose keys begin so."""
    keys = [*keys]
    blocks = count(keys, re.escape(prefix) + r"layer\d\.\d+\.conv1\.weight")
    per_block = 3 if f"{prefix}layer1.0.conv3.weight" in keys else 2
    return per_block * blocks + 2


def adopt_parts(state: Mapping[str, Any]) -> Adopted:
    """The parts encoder, depth, pose_encoder and pose, as Monodepth2 and those after it publish them.

    Their keys are those of our network; the classifiers of the encoders are left out. The pose network may be
    missing. The size of the input, and whether stereo pairs taught it, stand in the encoder, or beside the parts where
    one file holds them all.
    """
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor) and ".fc." not in key}
    options: dict[str, Any] = {
        "model_num_layers": resnet_layers(tensors, "encoder.encoder."),
        "model_depth_resolutions": count(tensors, r"depth\.decoder\.\d+\.conv\.weight"),
    }
    if has_pose := "pose_encoder.encoder.conv1.weight" in tensors:
        options["model_num_layers_pose"] = resnet_layers(tensors, "pose_encoder.encoder.")
    for place in ("", "encoder."):
        options |= {name: state[place + key] for key, name in SIZE.items() if place + key in state}
    is_stereo = any(state.get(f"{place}use_stereo", False) for place in ("", "encoder."))
    doubts = {"depth_validation_fixed_scaling": STEREO} if is_stereo else {}
    unused = sum(isinstance(value, Tensor) for value in state.values()) - len(tensors)
    return Adopted(tensors, options, doubts, unused, {} if has_pose else {"pose": POSE})
