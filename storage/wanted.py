"""What is wrong with a network that an option names, as far as names and places tell. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from errors import UserError, closest

from .catalogue import HUB, MODELS, is_name
from .published import locate, unknown

FROZEN = tuple(name for name, entry in MODELS.items() if entry.method == "dpt" and not name.startswith(HUB))


def fault_of_network(
    flag: str, name: str, places: Iterable[Path], otherwise: str, *, fetch: bool = False, is_teacher: bool = False
) -> str:
    """One sentence, or "" where nothing is wrong or only a closer look would tell.

    places:     where a file or folder of that name may lie
    otherwise:  what to say where it is no name, and lies at none of them; the likeliest name is put in for ``{}``
    fetch:      what is missing will be downloaded
    is_teacher: it may be a file of a frozen network
    """
    if not name or any(map(os.path.exists, places)):
        return ""
    if name not in MODELS and is_name(name) and not name.startswith(HUB):
        return unknown(name)
    if name in MODELS and not name.startswith(HUB) and not fetch and not MODELS[name].is_at_hand:
        try:
            locate(name)  # or its archive, put there by hand
        except UserError as error:
            return str(error)
    if name in MODELS or is_name(name):
        return ""
    known = FROZEN if is_teacher else MODELS
    alike = "" if Path(name).suffix or os.sep in name else closest(name, known)
    return f"{flag} {name}: {otherwise.format(alike)}"


def fault_of_path(name: str, fetch: bool = False) -> str:
    """`fault_of_network` for ``--model-path``, which names what lies where it says."""
    lacking = "no such file or folder{}; give a checkpoint or a name that inference.py --list-models tells"
    return fault_of_network("--model-path", name, [Path(name)], lacking, fetch=fetch)
