"""DPT-Hybrid and DPT-Large as frozen teachers, from their published files."""

from __future__ import annotations

import torch

from models.teacher import Habits, Teacher

from .files import OFFICIAL, find
from .weights import load


def build(name: str, native: bool = False, fetch: bool = False) -> Teacher:
    """Teacher from a published file by its name, or from any weight file of DPT by its path; see `Teacher`.

    fetch: download a published file that is missing

    Raises:
        UserError: when the file is missing, damaged, or holds another network.
    """
    weights = find(name, fetch)
    known = OFFICIAL.get(weights.name)
    scaling = {"scale": known.scale, "shift": known.shift} if known else {}
    network = load(weights.path, known.variant if known else "", **scaling)
    habits = known.habits if known else Habits()
    return Teacher(network, habits, weights.identity, native).to(memory_format=torch.channels_last)
