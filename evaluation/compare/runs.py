"""What the run folders of evaluations hold: metrics.json, numbers of every image, curves of the training."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errors import UserError, closest
from evaluation.comparison import ALIKE
from evaluation.tables import METRICS_FILE, read_metrics
from storage.text import read_text

SAME = ("name", *ALIKE, "scaling", "flip")
"""Of a protocol, what must be the same; the size of its input is a matter of the network."""
CURVES = ("train", "validation")


@dataclass(frozen=True)
class Run:
    """A run folder, what it is called in the report, and its metrics.json."""

    name: str
    folder: Path
    entries: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Numbers:
    """Metrics of every image of a set: `values` (N, M) float64 by `names` and `metrics`; NaN where undefined."""

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    values: np.ndarray

    def of(self, names: Sequence[str], metrics: Sequence[str]) -> np.ndarray:
        """Values (N, M) of some images and metrics."""
        rows, columns = ({name: place for place, name in enumerate(each)} for each in (self.names, self.metrics))
        return self.values[np.ix_([rows[name] for name in names], [columns[name] for name in metrics])]


def open_runs(words: Sequence[str], checkpoint_dir: str) -> list[Run]:
    """The run folders that are named, below the folder of all runs or where they say.

    Raises:
        UserError: when one is no folder, was not evaluated, or is named twice.
    """
    folders = []
    for word in words:
        places = [Path(checkpoint_dir) / word, Path(word)] if checkpoint_dir else [Path(word)]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            raise UserError(
                f"{word}: no such run folder{' below ' + checkpoint_dir if checkpoint_dir else ''}; give one"
            )
        if folder.resolve() in folders:
            raise UserError(f"{word}: named twice; give different runs")
        folders.append(folder.resolve())
    short = [folder.name for folder in folders]
    names = [
        folder.name if short.count(folder.name) == 1 else f"{folder.parent.name}/{folder.name}" for folder in folders
    ]
    if len({*names}) < len(names):
        names = [str(folder) for folder in folders]
    runs = [Run(name, folder, _entries(folder)) for name, folder in zip(names, folders, strict=True)]
    for run in runs:
        if not run.entries:
            raise UserError(
                f"{run.folder}: no {METRICS_FILE} there; evaluate it with eval_depth.py, or name its folder"
            )
    return runs


def _entries(folder: Path) -> dict[str, Mapping[str, Any]]:
    found = read_metrics(folder)
    for domain, entry in found.items():
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), dict) for key in ("metrics", "protocol")):
            raise UserError(f"{folder / METRICS_FILE}: {domain} has no metrics with a protocol; evaluate it again")
    return found


def common_sets(runs: Sequence[Run], asked: Sequence[str] = ()) -> list[str]:
    """Sets that all runs were evaluated on, or those that are asked for: by name or by the name of their loader.

    Raises:
        UserError: when there are none, or a run lacks one that is asked for.
    """
    known = list(dict.fromkeys(domain for run in runs for domain in run.entries))
    chosen = []
    for name in asked:
        fitting = [domain for domain in known if domain == name or domain.startswith(f"{name}_")]
        if not fitting:
            raise UserError(f"--set {name}: no run has it{closest(name, known)}; choose from {', '.join(known)}")
        chosen += [domain for domain in fitting if domain not in chosen]
    for domain in chosen:
        for run in runs:
            if domain not in run.entries:
                raise UserError(f"{run.name}: not evaluated on {domain}; evaluate it there or name another --set")
    common = chosen or [domain for domain in known if all(domain in run.entries for run in runs)]
    if not common:
        told = "; ".join(f"{run.name}: {', '.join(run.entries)}" for run in runs)
        raise UserError(f"no set that all runs were evaluated on ({told}); evaluate them on the same one")
    return common


def differences(runs: Sequence[Run], domain: str) -> list[str]:
    """How the protocols of a set differ from that of the first run, a phrase each."""
    first = runs[0].entries[domain]["protocol"]
    found = []
    for run in runs[1:]:
        other = run.entries[domain]["protocol"]
        for key in SAME:
            if first.get(key) != other.get(key):
                what = "protocol" if key == "name" else key.replace("_", " ")
                ours, theirs = (each.get(key, "not said") for each in (first, other))
                found.append(f"{what} {ours} ({runs[0].name}) and {theirs} ({run.name})")
    return found


def read_numbers(run: Run, domain: str) -> Numbers:
    """Numbers of every image, from metrics_<domain>.csv; those metrics whose mean over them metrics.json has.

    Motion is judged in windows of frames: these are the names then, and no metric is a mean over images.

    Raises:
        UserError: when the file is missing, damaged, or of another evaluation than metrics.json.
    """
    path = run.folder / f"metrics_{domain}.csv"
    again = "evaluate the run again"
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, errors="surrogateescape"))))
        names = tuple(row["name"] for row in rows)
        columns = [name for name in rows[0] if name != "name"]
        values = np.array([[float(row[name] or "nan") for name in columns] for row in rows])
    except FileNotFoundError:
        raise UserError(f"{path}: no numbers of single images; {again}") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error}); {again}") from None
    told = run.entries[domain]
    windows = domain.endswith("pose")  # a row each, of several frames
    if len({*names}) < len(names) or not (windows or len(names) == told.get("images")):
        raise UserError(f"{path}: {len(names)} images where {METRICS_FILE} says {told.get('images')}; {again}")
    metrics = told["metrics"]
    means = dict(zip(columns, (_mean(column) for column in values.T), strict=True))
    kept = [name for name in columns if isinstance(metrics.get(name), float | int)]
    if wrong := [
        name for name in kept if domain.endswith("depth") and not math.isclose(means[name], metrics[name], rel_tol=1e-6)
    ]:
        raise UserError(f"{path}: the mean of {wrong[0]} is not that of {METRICS_FILE}; {again}")
    kept = [name for name in kept if math.isclose(means[name], metrics[name], rel_tol=1e-6)]
    return Numbers(names, tuple(kept), values[:, [columns.index(name) for name in kept]])


def _mean(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else math.nan


def training_of(run: Run) -> Path | None:
    """Folder of the training that a run is or whose checkpoint it evaluated, where it has TensorBoard files."""
    places = [run.folder]
    for entry in run.entries.values():
        checkpoint = Path(str(entry.get("origin", {}).get("checkpoint", "")))
        if checkpoint.parent.name == "checkpoints":
            places.append(checkpoint.parents[1])
    return next((place for place in places if any(_events(place))), None)


def _events(folder: Path) -> Iterator[Path]:
    for name in CURVES:
        yield from (folder / name).glob("events.out.tfevents.*")


def read_curves(folder: Path) -> dict[str, np.ndarray]:
    """Scalars of a training by name, (N, 2): step and value; of values that a step has twice the last one."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves: dict[str, np.ndarray] = {}
    for name in CURVES:
        if not any((folder / name).glob("events.out.tfevents.*")):
            continue
        board = EventAccumulator(str(folder / name), size_guidance={"scalars": 0})
        board.Reload()
        for tag in board.Tags()["scalars"]:
            points = {event.step: event.value for event in board.Scalars(tag)}
            curves[f"{name}: {tag}"] = np.array(sorted(points.items()), float)
    return curves
