"""What one option is: its text, bounds, and what becomes of it later. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

LONGEST = 16384  # side of a resized image, pixels
MEASURED = ("boundaries",)  # beside the usual metrics
SAVED = ("picture", "disparity", "depth", "depth16", "npz", "seg", "ply", "glb")
EACH = "each"  # picture has a range of its own
KEEP_RULE = re.compile(r"last=(?P<last>[1-9]\d{0,8})|best=((?P<loader>\w+):)?(?P<metric>\w+)", re.ASCII)

# What becomes of a training option when a run goes on with another value; presets/resume.py says what they mean.
REFUSED, BETWEEN, NOTED, FREE, START = "refused", "between epochs", "with a warning", "taken", "not looked at"


def floats(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    return tuple(float(part) for part in text.split(",") if part.strip())


def integers(text: str) -> tuple[int, ...]:
    """Whole numbers between commas."""
    return tuple(int(part) for part in text.split(",") if part.strip())


def names(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def decay_factor(text: str) -> float | str:
    """A number, or the word ``released``."""
    return text if text == "released" else float(text)


def metres(text: str) -> float:
    """A number, or a fraction such as ``1/256``."""
    number, stroke, divisor = text.partition("/")
    if stroke and not float(divisor):
        raise ValueError
    return float(number) / (float(divisor) if stroke else 1)


def ground_truth(text: str) -> str:
    """The word ``raw`` or ``improved``, or a file of depth maps."""
    if text not in ("raw", "improved") and not text.lower().endswith(".npz"):
        raise ValueError
    return text


def keep_rules(text: str) -> tuple[str, ...]:
    """Rules between commas, ``last=3`` once, ``best=abs_rel`` or ``best=LOADER:abs_rel``."""
    rules = names(text)
    if not all(KEEP_RULE.fullmatch(rule) for rule in rules) or sum(rule.startswith("last=") for rule in rules) > 1:
        raise ValueError
    return rules


def further_metrics(text: str) -> tuple[str, ...]:
    """Names of `MEASURED` between commas, each once."""
    found = tuple(dict.fromkeys(names(text)))
    if not {*found} <= {*MEASURED}:
        raise ValueError
    return found


def images(text: str) -> tuple[str, ...]:
    """Paths and patterns, separated by what no path holds."""
    return tuple(part for part in text.split("\0") if part)


def saved(text: str) -> tuple[str, ...]:
    """Names of `SAVED` between commas, each once."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found or not {*found} <= {*SAVED}:
        raise ValueError
    return found


def near_far(text: str) -> tuple[float, ...] | str:
    """Two distances, the nearer first, nothing, or the word `EACH`."""
    if text == EACH:
        return text
    found = floats(text)
    if found and not (len(found) == 2 and 0 < found[0] < found[1] < float("inf")):
        raise ValueError
    return found


def depth_scale(text: str) -> str:
    """none, median, a positive number, or camera-height=METRES."""
    number = text.removeprefix("camera-height=")
    if text not in ("none", "median") and not 0 < float(number) < float("inf"):
        raise ValueError
    return text


WORDS = {
    int: "a whole number",
    float: "a number",
    floats: "numbers separated by commas",
    integers: "whole numbers separated by commas",
    decay_factor: "a number or 'released'",
    metres: "a number of metres or a fraction such as 1/256",
    ground_truth: "raw, improved or an .npz file of depth maps",
    keep_rules: "a list such as best=abs_rel,last=3 or best=kitti_zhou_validation:a1; last once, and at least 1",
    further_metrics: f"one of the further metrics ({', '.join(MEASURED)})",
    images: "a list of images, folders or videos",
    saved: f"a list of {', '.join(SAVED)}",
    near_far: "two distances NEAR,FAR, the nearer one first, or each",
    depth_scale: "none, median, a positive factor or camera-height=METRES",
}


@dataclass(frozen=True)
class Option:
    """One option, said once: parser, presets, opt.json, checkpoints and the tables of the documents read it.

    low, high: bounds of a number, inclusive
    multiple:  what a size must be a multiple of
    kind:      text to value, where the default does not tell
    several:   it takes several words of the command line
    also:      other flags for it, where they are no options: what another command calls the same thing
    resume:    what becomes of another value when a run of train.py goes on: one of the five rules above
    network:   it shapes the network or says what its numbers mean: it is stored with a checkpoint, evaluation and
               inference take it from there, and another value is refused when a run goes on
    follows:   name of the training option whose value, stored with a checkpoint, is the default in evaluation and
               inference
    groups:    whether it is set decides which weights are trained: a run does not go on where only one value is empty
    leans_on:  name of an option that is taken without a warning, yet decides what this one does
    leans:     whether it does with these values, by name, of which some may be missing
    """

    flag: str
    default: Any
    help: str
    choices: tuple = ()
    low: float = float("-inf")
    high: float = float("inf")
    multiple: int = 1
    kind: Callable[[str], Any] | None = None
    several: bool = False
    also: tuple[str, ...] = ()
    resume: str = ""
    network: bool = False
    follows: str = ""
    groups: bool = False
    leans_on: str = ""
    leans: Callable[[Mapping[str, Any]], bool] = bool

    def __post_init__(self) -> None:
        if self.network:
            object.__setattr__(self, "resume", REFUSED)

    @cached_property
    def name(self) -> str:
        """Attribute of the namespace, key of opt.json."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def parse(self) -> Callable[[str], Any]:
        """Text of the command line to value."""
        return self.kind or (names if isinstance(self.default, tuple) else type(self.default))


Group = tuple[str, tuple[Option, ...]]
"""Title and options, in the order of the help."""


def input_size(name: str, resume: str = "") -> tuple[Option, ...]:
    """``--NAME-resize-height`` and ``-width``: what a network sees; where it is not said, what it was trained with."""
    return tuple(
        Option(
            f"--{name}-resize-{side}",
            usual,
            f"{side} of the network input, pixels, a multiple of 32; of a checkpoint: as it was trained",
            low=64,
            high=LONGEST,
            multiple=32,
            resume=resume,
            follows=f"depth_resize_{side}",
        )
        for side, usual in (("height", 192), ("width", 640))
    )
