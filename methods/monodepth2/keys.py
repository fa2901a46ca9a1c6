"""Keys of Monodepth2's published files: those of our network, under the name of their file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from methods.keys_of_parts import adopt_parts
from methods.method import Adopted


def adopt(state: Mapping[str, Any]) -> Adopted | None:
    """A published folder, or one file with its parts."""
    if not {"encoder.encoder.conv1.weight", "depth.decoder.0.conv.conv.weight"} <= {*state}:
        return None
    return adopt_parts(state)
