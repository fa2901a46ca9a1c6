"""Weight files of DPT as published, small because nearly every tensor repeats one number."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from models.dpt.backbone import VARIANTS
from models.dpt.network import DPT
from models.dpt.weights import NAMES

UNUSED = {"model.norm.weight": 1, "model.norm.bias": 0, "model.head.weight": 0}


def published_name(key: str) -> str:
    """Key of our network -> key of a published file."""
    for pattern, ours in NAMES:
        parts = key.split(".")
        if r"\1" in ours and len(parts) > 1:
            ours, pattern = ours.replace(r"\1", parts[1]), pattern.replace(r"(\d)", parts[1])
        if key.startswith(ours):
            return pattern.replace("\\", "") + key.removeprefix(ours)
    return key


@cache
def _shapes(variant: str, width: int) -> dict[str, torch.Size]:
    """Of the network as it is now, whole or thin."""
    with torch.device("meta"):
        return {key: value.shape for key, value in DPT(variant).state_dict().items()}


def published_state(variant: str = "hybrid") -> dict[str, Tensor]:
    """Complete state dict; its answer depends on the place in the image."""
    torch.manual_seed(0)
    state = {}
    for key, shape in _shapes(variant, VARIANTS[variant].width).items():
        filled = 1 / max(shape[1:].numel(), 1) if len(shape) > 1 else 0.1
        state[published_name(key)] = torch.tensor(filled).expand(shape)
    width = VARIANTS[variant].width
    state["pretrained.model.pos_embed"] = torch.rand(1, 577, width)
    state |= {f"pretrained.{key}": torch.tensor(float(value)).expand(width) for key, value in UNUSED.items()}
    return state


def write(path: Path, state: dict[str, object] | None = None) -> Path:
    """A file of `published_state`, or of what is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(published_state() if state is None else state, path)
    return path
