"""What becomes of each option of train.py when a run goes on with another value. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .option import BETWEEN, FREE, NOTED, REFUSED, START, Option
from .options import OPTIMISER
from .values import word

MEANING = {
    REFUSED: "it is another network or optimiser, or their numbers mean something else: an error",
    BETWEEN: "taken with a warning; inside an epoch an error, as samples would be seen twice or never",
    NOTED: "taken with a warning: from there on the run learns something else",
    FREE: "taken and told: the run learns the same, unless another option depends on it; then a warning says which",
    START: "decides how a run begins",
}
FACTS = {
    "nproc_per_node": ("--nproc-per-node", BETWEEN),
    "samples": ("numbers of samples", BETWEEN),
    "teacher_maps": ("maps of --patch-teacher-cache", NOTED),
    "guiding_maps": ("maps of --teacher-cache", NOTED),
}
"""What is compared besides the options, and its rule: processes of torchrun, how much each data set holds, what maps of
a teacher answer to."""
RATES = frozenset(option.name for option in OPTIMISER[1]) - {"train_accumulate", "train_warmup_steps"}
"""Options of rate, decay and schedule, which a checkpoint brings too; another value takes effect as if it had always
been so."""


def rules(options: Iterable[Option]) -> dict[str, list[str]]:
    """Names of the options of train.py, and of FACTS, by their rule."""
    found: dict[str, list[str]] = {rule: [] for rule in MEANING}
    for name, (_, rule) in FACTS.items():
        found[rule].append(name)
    for option in options:
        found[option.resume].append(option.name)
    return found


def changes(options: Iterable[Option], before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What has changed between two sets of values that both know: rule -> name -> ``--flag new (was old)``.

    What decides what another option does is noted, whatever its own rule, and says which; what decides which weights
    are trained is refused where only one of its values is empty.

    options: those of train.py for the method that trains
    before:  may come from JSON
    """
    now, options = json.loads(json.dumps(now)), [*options]
    found: dict[str, dict[str, str]] = {}
    switches = {option.name for option in options if option.groups}
    for rule, names in rules(options).items():
        for name in names:
            if rule != START and name in before and name in now and before[name] != now[name]:
                text = f"{called(name)} {word(now[name])} (was {word(before[name])})"
                switched = name in switches and bool(before[name]) != bool(now[name])
                leaning = [option.name for option in options if option.leans_on == name and option.leans(now)]
                if leaning:
                    text += f", on which {' and '.join(map(called, leaning))} depends"
                found.setdefault(REFUSED if switched else NOTED if leaning else rule, {})[name] = text
    return found


def called(name: str) -> str:
    """What users call an option, or what else is compared."""
    return FACTS[name][0] if name in FACTS else f"--{name.replace('_', '-')}"
