"""Which checkpoints of a run stay: the best by a metric of validation, and the last ones.

What was measured is noted in every checkpoint, so that what is best is known however often a run is resumed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from errors import UserError, closest
from presets.option import KEEP_RULE
from storage.checkpoint_folder import checkpoints, discard_unused, order
from storage.notes import METADATA, Damaged, read

BETTER: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "depth": {
        **{"abs_rel": min, "sq_rel": min, "rmse": min, "rmse_log": min, "a1": max, "a2": max, "a3": max},
        **{"abs_diff": min, "log10": min, "rmse_log10": min, "rmse_pooled": min, "rmse_log_pooled": min},
        **{"edge_acc": min, "edge_comp": min},
    },
    "neighbours": {"photometric": min},
    "segmentation": {"miou": max, "accuracy": max},
}
"""Whether less or more is better: metrics by what is measured of their loaders."""


class Judged(Protocol):
    """What is asked of a loader of validation."""

    name: str
    measure: str
    domain: str


@dataclass(frozen=True)
class Best:
    """A metric of one set, by the name results have."""

    domain: str
    metric: str
    choose: Callable[..., Any]

    def among(self, notes: Mapping[Path, Mapping[str, Any]]) -> tuple[Path, float] | None:
        """The best checkpoint and its score, the first of equals; None where none was judged.

        Only those count that were judged as the newest of them was: on as many images by the same protocol.
        """
        entries = {folder: each for folder, noted in notes.items() if (each := self._entry(noted))}
        if not entries:
            return None
        newest = [*entries.values()][-1]
        alike = {folder: score for folder, (score, *how) in entries.items() if how == [*newest[1:]]}
        folder = self.choose(alike, key=alike.__getitem__)
        return folder, alike[folder]

    def _entry(self, noted: Mapping[str, Any]) -> tuple[float, Any, Any] | None:
        with contextlib.suppress(LookupError, TypeError, ValueError):
            entry = noted["validation"][self.domain]
            score = float(entry["metrics"][self.metric])
            return (score, entry["images"], entry["protocol"]) if math.isfinite(score) else None
        return None


@dataclass(frozen=True)
class Keep:
    """Which checkpoints stay: the `last` ones and the `best`; all of them where neither is asked for."""

    last: int = 1
    best: tuple[Best, ...] = ()
    everything: bool = False

    def tidy(self, newest: Path) -> list[str]:
        """Remove the checkpoints of a run that do not stay, now that the newest was written, which always does.

        Folders that are not whole, have no notes of ours, or belong to epochs yet to come are not counted and stay, and
        so does one that another process uses, until the next time.

        Returns: what was done, a sentence each.
        """
        if self.everything:
            return []
        until = [folder for folder in checkpoints(newest.parents[1]) if order(folder) <= order(newest)]
        notes = {folder: noted for folder in until if "_batch_" not in folder.name and (noted := _notes(folder))}
        measured = {rule: rule.among(notes) for rule in self.best}
        best = [(rule, *found) for rule, found in measured.items() if found]
        stay = {newest, *[*notes][-self.last :], *(folder for _, folder, _ in best)}
        kept = {folder: discard_unused(folder) for folder in notes if folder not in stay}
        removed = [folder.name for folder, reason in kept.items() if not reason]
        said = [f"{folder} stays for now: {reason}" for folder, reason in kept.items() if reason]
        said += [
            f"best {rule.metric} of {rule.domain}: no checkpoint stays for it, validation does not measure it there"
            for rule, found in measured.items()
            if notes and not found
        ]
        if removed:
            words = [f"best {rule.metric} of {rule.domain}: {folder.name}, {score:.4f}" for rule, folder, score in best]
            said.append("; ".join([f"removed {', '.join(removed)}", *words]))
        return said


def build_keep(rules: Sequence[str], loaders: Sequence[Judged]) -> Keep:
    """What --keep says.

    loaders: those of validation, in their order

    Raises:
        UserError: when a rule names a metric or a loader that there is not.
    """
    if not rules:
        return Keep(everything=True)
    found = [KEEP_RULE.fullmatch(rule) for rule in rules]
    last = [int(match["last"]) for match in found if match["last"]]
    best = [_best(match["loader"], match["metric"], loaders) for match in found if match["metric"]]
    return Keep(*last, best=tuple(best))


def _best(loader: str | None, metric: str, loaders: Sequence[Judged]) -> Best:
    rule = f"--keep best={f'{loader}:' if loader else ''}{metric}"
    known = [name for metrics in BETTER.values() for name in metrics]
    if metric not in known:
        raise UserError(f"{rule}: no such metric{closest(metric, known)}; choose from {', '.join(known)}")
    named = [each for each in loaders if not loader or loader in (each.name, each.domain)]
    if loader and not named:
        names = ", ".join(dict.fromkeys(each.name for each in loaders)) or "none"
        raise UserError(f"{rule}: {loader} is no loader of validation (there are: {names}); add it to them")
    for each in named:
        if metric in BETTER[each.measure]:
            return Best(each.domain, metric, BETTER[each.measure][metric])
    measure = next(measure for measure, metrics in BETTER.items() if metric in metrics)
    what = {"neighbours": "folder_video_validation in --depth"}.get(measure, f"a data set in --{measure}")
    raise UserError(f"{rule}: no validation tells it; name {what}-validation-loaders")


def _notes(folder: Path) -> dict[str, Any]:
    """Notes of a checkpoint whose files have the sizes that they say; {} otherwise."""
    with contextlib.suppress(Damaged, OSError, LookupError, TypeError):
        noted = read(folder / METADATA)
        if all((folder / name).stat().st_size == about["bytes"] for name, about in noted["files"].items()):
            return noted
    return {}
