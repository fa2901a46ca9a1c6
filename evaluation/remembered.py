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


def remembered_ratio(source: Path, digest: str, name: str = "", runs: str = "") -> tuple[float, str]:
    """Median ratio of the evaluation of a network, and where it stands.

    It is looked for beside the file, in the run that the checkpoint is of, in the runs beside that one, and in those
    below `runs` where the network has a name. Run folders keep evaluations of several checkpoints: the origin of an
    entry says of which it is, and the options of the run only where an entry has none.

    source: checkpoint folder, or file
    digest: of its files, see `storage.published.digest_of`; "" where they are not known
    name:   of a published network, "" for none
    runs:   folder of all runs, "" where nobody tells

    Raises:
        UserError: when there is none, or several disagree.
    """
    found = {
        f"{place}, {domain}": float(entry["metrics"]["ratio_median"])
        for (place, domain), entry in _stored(source, digest, name, runs)
        if _is_ratio(entry.get("metrics", {}).get("ratio_median"))
    }
    if not found:
        where = " below --checkpoint-dir" if name else ""
        asked = name or (source if source.is_dir() else source.parent).absolute()
        raise UserError(
            f"{FLAG}: no evaluation of {name or source} is stored{where}; run eval_depth.py with --model-load {asked}, "
            "or give the factor itself"
        )
    if len({*found.values()}) > 1:
        listed = ", ".join(f"{ratio:.4g} ({place})" for place, ratio in sorted(found.items()))
        raise UserError(f"{FLAG}: evaluations of {source} found {listed}; give one of these numbers instead of median")
    place, ratio = next(iter(found.items()))
    return ratio, place


def evaluations(
    source: Path | None, digest: str, name: str = "", runs: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Sets that a network was evaluated on, with their entries of metrics.json.

    They are looked for as by `remembered_ratio`; by the name alone where `source` is None.
    """
    for (_, domain), entry in _stored(source, digest, name, runs):
        yield domain, entry


def _is_ratio(value: object) -> bool:
    return isinstance(value, float | int) and value > 0


def _stored(
    source: Path | None, digest: str, name: str, runs: str
) -> Iterator[tuple[tuple[Path, str], dict[str, Any]]]:
    """File and set of an evaluation of this network, and its entry."""
    places: list[tuple[Path, bool]] = []  # and whether entries without origin are of this network
    if source:
        folder = source if source.is_dir() else source.parent
        places.append((folder, True))
        if folder.parent.name == "checkpoints":
            others = folder.absolute().parents[3].glob(f"*/*/{METRICS_FILE}")
            places += [(path.parent, _evaluated(path.parent, folder)) for path in sorted(others)]
    if name and runs:
        others = Path(runs).glob(f"*/*/{METRICS_FILE}")
        places += [(path.parent, _loaded(path.parent).get("model_load") == name) for path in sorted(others)]
    for place, named in places:
        table = read_metrics(place) if named else read_table(place / METRICS_FILE)
        for domain, entry in table.items():
            if isinstance(entry, dict) and (_is_of(entry["origin"], digest, name) if "origin" in entry else named):
                yield (place / METRICS_FILE, domain), entry


def _is_of(origin: Any, digest: str, name: str) -> bool:
    """Whether an entry of this origin is of a network; its name decides where one of the hashes is not known."""
    told = origin if isinstance(origin, dict) else {}
    if digest and told.get("sha256"):
        return told["sha256"] == digest
    return bool(name) and told.get("checkpoint") == name


def _evaluated(run: Path, checkpoint: Path) -> bool:
    """Whether the evaluation in a run folder was one of this checkpoint."""
    options = _loaded(run)
    load = Path(str(options.get("checkpoint_dir", "")), str(options.get("model_load", "")))
    load = load.parent if load.name == "model.pth" else load
    return bool(options) and os.path.realpath(load) == os.path.realpath(checkpoint)


def _loaded(run: Path) -> dict[str, Any]:
    """Options of the evaluation in a run folder; {} where they cannot be read."""
    return next((found for name in OPTIONS if (found := read_table(run / name))), {})
