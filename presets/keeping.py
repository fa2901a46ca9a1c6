"""The option that says which checkpoints of a run stay. Imports no torch."""

from __future__ import annotations

from .option import FREE, Option, keep_rules

KEEP = Option(
    "--keep",
    (),
    "which checkpoints stay, such as best=abs_rel,last=3: the best by a metric of the first validation loader that has "
    "it, or, by best=LOADER:abs_rel, of another one, and the last; empty: all",
    kind=keep_rules,
    resume=FREE,
)
