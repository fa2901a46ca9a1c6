"""Keys of LapDepth's published files: those of our network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from methods.method import Adopted
from methods.metric.keys import DEPTH

UNUSED = ("encoder.encoder.layer4.", "encoder.encoder.fc.")


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """One file with encoder and decoder; what torchvision has behind the last map in use is left out."""
    if not {"encoder.encoder.conv1.weight", "decoder.ASPP.reduction1.weight"} <= {*state}:
        return None
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    kept = {key: value for key, value in tensors.items() if not key.startswith(UNUSED)}
    norm = "BN" if "decoder.decoder1.0.module.0.running_mean" in kept else "GN"
    doubts = {"model_depth_max": DEPTH}
    return Adopted(kept, {"model_norm": norm}, doubts, unused=len(tensors) - len(kept))
