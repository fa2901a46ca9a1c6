"""Which networks are at hand: published ones, and the checkpoints of runs. Imports no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from errors import UserError

from .catalogue import HUB, MODELS, Published
from .wanted import fault_of_path

FIRST = "monodepth2:mono_640x192"
"""What to try where nothing is at hand: small, and fetched without a browser."""


def newest_checkpoints(runs: str) -> list[Path]:
    """The newest checkpoint folder of every run below a folder of all runs."""
    newest: dict[Path, Path] = {}
    found = [file.parent for file in Path(runs).glob("*/*/checkpoints/epoch_*/model.pth")] if runs else []
    for folder in sorted(found, key=lambda folder: [*map(int, re.findall(r"\d+", folder.name))]):
        newest[folder.parents[1]] = folder
    return sorted(newest.values())


def at_hand(runs: str) -> list[str]:
    """What ``--model-path`` may be, here and now, without fetching anything."""
    return [name for name, entry in MODELS.items() if entry.is_at_hand] + [*map(str, newest_checkpoints(runs))]


def choices(named: Iterable[str], runs: str) -> dict[str, str]:
    """Networks to choose from, those that were named first: how they are shown, and what ``--model-path`` may be.

    Raises:
        UserError: when one that was named is not there, or none is at hand.
    """
    named = [*named]
    if wrong := [*filter(None, map(fault_of_path, named))]:
        raise UserError("; also ".join(wrong))
    found = dict.fromkeys([*named, *at_hand(runs)])
    if not found:
        raise UserError(
            "--model-path: not given, and no network is at hand; give one, name the folder of runs by "
            f"--checkpoint-dir, or fetch one by inference.py --model-path {FIRST} --fetch"
        )
    own = {str(folder) for folder in newest_checkpoints(runs)} - {*named}
    return {os.path.relpath(name, runs) if name in own else name: name for name in found}


def offer(runs: str, image: str) -> str:
    """Which networks are at hand, and the line to type with one of them."""
    names = at_hand(runs)
    words = [f"--model-path {names[0] if names else FIRST}", *([] if names else ["--fetch"])]
    line = f"python inference.py {' '.join(words)} --image-path {image or 'IMAGE'} --output-path out"
    if not names:
        return f"none is at hand; fetch one (licence: {MODELS[FIRST].licence}): {line}"
    more = f" and {len(names) - 5} more (--list-models)" if len(names) > 5 else ""
    return f"at hand {'is' if len(names) == 1 else 'are'} {', '.join(names[:5])}{more}; for example: {line}"


def listing(runs: str) -> str:
    """Every network that has a name, and the checkpoints of own runs, one a line."""
    rows = [("name", "here", "size", "licence", "about")]
    rows += [(entry.name, _state(entry), entry.size, entry.licence, entry.about) for entry in MODELS.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    own = newest_checkpoints(runs)
    lines += ["", f"newest checkpoints of runs below {runs}:", *(f"  {folder}" for folder in own)] if own else []
    return "\n".join(lines)


def _state(entry: Published) -> str:
    """Whether a network is at hand, or how it gets here."""
    if entry.is_at_hand:
        return "yes"
    return "--fetch" if entry.address or entry.name.startswith(HUB) else "browser"
