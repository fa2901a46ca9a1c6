"""Keys of Spatial-KD's published files: those of our network, but for the name of the decoder before its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from methods.keys_of_parts import count, resnet_layers
from methods.method import Adopted
from methods.metric.keys import DEPTH

RESNETS = {18: "resnet18", 50: "resnet50", 101: "resnext101"}
CLASSIFIERS = ("encoder.encoder.fc.", "encoder.encoder.classifier.")


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """Encoder and decoder as published, side by side, or the state of our network; one of the two alone is neither."""
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    published = "decoder_0_up.conv.weight" in tensors
    kept = {key: value for key, value in tensors.items() if not key.startswith(CLASSIFIERS)}
    if published:
        kept = {key if key.startswith("encoder.") else f"decoder.{key}": value for key, value in kept.items()}
    if not {"encoder.conv_convert_list.0.module.2.weight", "decoder.decoder_0_up.conv.weight"} <= kept.keys():
        return None
    if count(kept, r"encoder\.encoder\.features\.\d+\.0\.weight"):
        encoder = "mobilenetv2"
    else:
        encoder = RESNETS.get(resnet_layers(kept, "encoder.encoder."), "")
    if not encoder:
        return None
    norm = "BN" if "decoder.decoder_0_up.norm.running_mean" in kept else "GN"
    options = {"model_encoder": encoder, "model_norm": norm}
    if published and encoder == "mobilenetv2":
        options["mobilenet_residuals"] = "released"
    return Adopted(kept, options, doubts={"model_depth_max": DEPTH}, unused=len(tensors) - len(kept))
