"""Flags that other repositories have (Monodepth2, BDEdepth, BTS, timm ...), and ours for them, from one file."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_suffix(".toml")
REPOSITORIES = ("monodepth2", "bdedepth", "others")
_OF_TORCHRUN = "--nproc-per-node"


class Meaning(NamedTuple):
    """What flags with one meaning are called in every one of `REPOSITORIES`, and what to say of them here.

    here: sentences, of which the first counts whose flags the command at hand has
    values: names of values there and here, for the first sentence
    """

    names: dict[str, list[str]]
    here: list[str]
    values: dict[str, str]


@cache
def meanings() -> tuple[Meaning, ...]:
    """All of them, in the order of the file."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["flag"]
    return tuple(
        Meaning({name: row.get(name, []) for name in REPOSITORIES}, row["here"], row.get("values", {})) for row in rows
    )


def foreign_names() -> dict[str, Meaning]:
    """What a flag means, by its name without dashes, with underscores."""
    return {flag: meaning for meaning in meanings() for flags in meaning.names.values() for flag in flags}


def answer(flag: str, known: Collection[str]) -> str:
    """What to use instead of a flag: ours in another spelling, or what it is called here; "" where nobody knows.

    known: flags that can be given
    """
    dashed = "--" + flag.lstrip("-").replace("_", "-")
    if dashed != flag and dashed in known:
        return f"write {dashed}"
    meaning = foreign_names().get(flag.lstrip("-").replace("-", "_"))
    for sentence in meaning.here if meaning else ():
        if all(name in known for name in flags_of(sentence)):
            shown = ", ".join(f"{theirs} is {ours}" for theirs, ours in meaning.values.items())
            return f"{sentence} ({shown})" if shown and sentence == meaning.here[0] else sentence
    return ""


def counterpart(flag: str, known: Collection[str]) -> str:
    """What stands in the place of a flag of ours, for the same data and among those that are known; else ""."""
    data = flag.split("-")[2]  # --depth-..., --segmentation-...
    for meaning in meanings():
        if any(flag in flags_of(sentence) for sentence in meaning.here):
            fitting = (sentence for sentence in meaning.here if {*flags_of(sentence)} <= {*known})
            return next((sentence for sentence in fitting if f"--{data}-" in sentence), "")
    return ""


def flags_of(sentence: str) -> list[str]:
    """Our flags in a sentence."""
    words = (word.rstrip(",;:") for word in sentence.split())
    return [word for word in words if word.startswith("--") and word != _OF_TORCHRUN]
