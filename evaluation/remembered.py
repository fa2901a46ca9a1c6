"""The ratio between truth and prediction that an evaluation of a checkpoint has found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from errors import UserError
from storage.text import read_table

from .tables import METRICS_FILE, read_metrics

OPTIONS = ("opt_eval_depth.json", "opt.json")  # the first of them is of the evaluation
FLAG = "--depth-scale median"


def remembered_ratio(source: Path, name: str = "", runs: str = "") -> tuple[float, str]:
    """Median ratio of the evaluation of a network, and where it stands.

    It is looked for beside the file, in the run that the checkpoint is of, in the runs beside that one that evaluated
    this checkpoint, and in those below `runs` that evaluated the network by this name.

    source: checkpoint folder, or file
    name:   of a published network, "" for none
    runs:   folder of all runs, "" where nobody tells

    Raises:
        UserError: when there is none, or several disagree.
    """
    folder = source if source.is_dir() else source.parent
    found = {
        f"{place}, {domain}": float(entry["metrics"]["ratio_median"])
        for (place, domain), entry in _stored(folder, name, runs)
        if _is_ratio(entry.get("metrics", {}).get("ratio_median"))
    }
    if not found:
        where = " below --checkpoint-dir" if name else ""
        raise UserError(
            f"{FLAG}: no evaluation of {name or source} is stored{where}; run eval_depth.py with --model-load "
            f"{name or folder.absolute()}, or give the factor itself"
        )
    if len({*found.values()}) > 1:
        listed = ", ".join(f"{ratio:.4g} ({place})" for place, ratio in sorted(found.items()))
        raise UserError(f"{FLAG}: evaluations of {source} found {listed}; give one of these numbers instead of median")
    place, ratio = next(iter(found.items()))
    return ratio, place


def evaluations(source: Path, name: str = "", runs: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Sets that a network was evaluated on, with their entries of metrics.json; looked for as by `remembered_ratio`."""
    folder = source if source.is_dir() else source.parent
    for (_, domain), entry in _stored(folder, name, runs):
        yield domain, entry


def _is_ratio(value: object) -> bool:
    return isinstance(value, float | int) and value > 0


def _stored(folder: Path, name: str, runs: str) -> Iterator[tuple[tuple[Path, str], dict[str, Any]]]:
    """File and set of an evaluation, and its entry."""
    places = [folder]
    if folder.parent.name == "checkpoints":
        others = folder.absolute().parents[3].glob(f"*/*/{METRICS_FILE}")
        places += [path.parent for path in sorted(others) if _evaluated(path.parent, folder)]
    if name and runs:
        others = Path(runs).glob(f"*/*/{METRICS_FILE}")
        places += [path.parent for path in sorted(others) if _loaded(path.parent).get("model_load") == name]
    for place in places:
        for domain, entry in read_metrics(place).items():
            if isinstance(entry, dict):
                yield (place / METRICS_FILE, domain), entry


def _evaluated(run: Path, checkpoint: Path) -> bool:
    """Whether the evaluation in a run folder was one of this checkpoint."""
    options = _loaded(run)
    load = Path(str(options.get("checkpoint_dir", "")), str(options.get("model_load", "")))
    load = load.parent if load.name == "model.pth" else load
    return bool(options) and os.path.realpath(load) == os.path.realpath(checkpoint)


def _loaded(run: Path) -> dict[str, Any]:
    """Options of the evaluation in a run folder; {} where they cannot be read."""
    return next((found for name in OPTIONS if (found := read_table(run / name))), {})
