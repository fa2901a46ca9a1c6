"""What keys of a state dict tell of parts that many networks have."""

from __future__ import annotations

import re
from collections.abc import Iterable


def count(keys: Iterable[str], pattern: str) -> int:
    """Number of keys that match as a whole."""
    return sum(re.fullmatch(pattern, key) is not None for key in keys)


def resnet_layers(keys: Iterable[str], prefix: str) -> int:
    """Layers of a torchvision ResNet whose keys begin so."""
    keys = [*keys]
    blocks = count(keys, re.escape(prefix) + r"layer\d\.\d+\.conv1\.weight")
    per_block = 3 if f"{prefix}layer1.0.conv3.weight" in keys else 2
    return per_block * blocks + 2
