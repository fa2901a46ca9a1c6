"""Keys of SGDEM's files: those of SGDepth, for attention has no weights, and layers of the released code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from methods.method import Adopted
from methods.sgdepth.keys import GAIN, attention_of, shape_of

RELEASED = "written by the released SGDEM code; its network gets --model-attention released"
_UNUSED = re.compile(r"(common|pose)\.encoder\.(dilated_conv\.conv|convx)\.(weight|bias)")


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """A file with the keys of SGDepth; whether it has attention, keys tell where its weight is learned or released."""
    if "common.encoder.encoder.conv1.weight" not in state:
        return None
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    used = {key: value for key, value in tensors.items() if not _UNUSED.fullmatch(key)}
    aspp = any(key.startswith("common.attended.aspp.") for key in used)
    options = {**shape_of(used), "model_attention_gain": GAIN in used, "model_aspp": aspp}
    doubts = {}
    if attention := attention_of(state):
        options["model_attention"] = attention
    if attention == "released":
        doubts["model_attention"] = RELEASED
    return Adopted(used, options, doubts, len(tensors) - len(used))
