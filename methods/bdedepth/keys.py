"""Keys of BDEdepth's published files: those of our network, under the name of their part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from methods.keys_of_parts import adopt_parts
from methods.method import Adopted

CONTEXT = {"encoder.context_conv.weight": "hrnet", "encoder.conv1.weight": "resnet"}
NYU_SIZE = (288, 384)
NYU = "its input of 288x384 is that of NYUv2, whose published files do not say their depth range: --model-depth-max 10"


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """One file with the parts of the network, with or without the state of its training, or a folder of them."""
    backbones = [backbone for key, backbone in CONTEXT.items() if key in state]
    if not backbones or not {"encoder.encoder.conv1.weight", "depth.decoder.0.1.weight"} <= {*state}:
        return None
    adopted = adopt_parts(state)
    options = {**adopted.options, "model_backbone": backbones[0]}
    if backbones[0] == "hrnet":
        options["model_num_layers"] = 18
    nyu = (options.get("depth_resize_height"), options.get("depth_resize_width")) == NYU_SIZE
    doubts = {**adopted.doubts, **({"model_depth_max": NYU} if nyu else {})}
    return replace(adopted, options=options, doubts=doubts)
