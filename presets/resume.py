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
    FREE: "taken and told: the run learns the same",
    START: "decides how a run begins",
}
FACTS = {"nproc_per_node": "--nproc-per-node", "samples": "numbers of samples"}
"""What is compared besides the options, between epochs: processes of torchrun, and how much each data set holds."""
RATES = frozenset(option.name for option in OPTIMISER[1]) - {"train_accumulate", "train_warmup_steps"}
"""Options of rate, decay and schedule, which a checkpoint brings too; another value takes effect as if it had always
been so."""


def rules(options: Iterable[Option]) -> dict[str, list[str]]:
    """Names of the options of train.py, and of FACTS, by their rule."""
    found: dict[str, list[str]] = {rule: [] for rule in MEANING}
    found[BETWEEN] += FACTS
    for option in options:
        found[option.resume].append(option.name)
    return found


def changes(options: Iterable[Option], before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What has changed between two sets of values that both know: rule -> name -> ``--flag new (was old)``.

    options: those of train.py for the method that trains
    before:  may come from JSON
    """
    now = json.loads(json.dumps(now))
    found: dict[str, dict[str, str]] = {}
    for rule, names in rules(options).items():
        for name in names:
            if rule != START and name in before and name in now and before[name] != now[name]:
                text = f"{called(name)} {word(now[name])} (was {word(before[name])})"
                found.setdefault(rule, {})[name] = text
    return found


def called(name: str) -> str:
    """What users call an option, or what else is compared."""
    return FACTS.get(name) or f"--{name.replace('_', '-')}"
