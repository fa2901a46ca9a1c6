"""Which files a loader would open, and whether they are there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from dataloader.catalog import LoaderSpec
from dataloader.check.report import SHOWN, Report, counted, first_of
from dataloader.integrity import find_damaged, needed
from dataloader.layouts.folder import Recording
from dataloader.listing import numbers_of, refuse_unlisted
from dataloader.numbering import have_decimals
from dataloader.parts import container
from dataloader.samples import Sample
from storage.progress import Progress


def check_files(report: Report, samples: Sequence[Sample]) -> set[str]:
    """Tell how many files there are, and name those that are missing, empty or cut off; every folder is listed once.

    Returns: paths of the files that are missing or damaged.
    """
    listing = lru_cache(maxsize=None)(_names)
    paths = {path: None for sample in samples for path in needed(sample)}
    missing = []
    for path in Progress(paths, "files", "look up files", len(paths), passing=True):
        folder, name = os.path.split(path)
        if name not in listing(folder):
            missing.append(path)
    absent = set(missing)
    report.tell("files", f"{len(paths)} looked up, {len(missing)} missing")
    if missing:
        report.fault(f"{counted(len(missing), 'file')} missing: {first_of(missing)}; fetch what is missing")
    faults = find_damaged(path for path in paths if path not in absent)
    tell_damaged(report, [faults[path] for path in paths if path in faults], "file")
    return {*faults, *missing}


def tell_damaged(report: Report, faults: Sequence[str], what: str) -> None:
    """Name the first damaged files; their number is a fault."""
    for fault in faults[:SHOWN]:
        report.tell("damaged", fault)
    if faults:
        report.fault(f"{counted(len(faults), what)} cannot be read, the first is {faults[0]}")


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError as fault:
        refuse_unlisted(fault)
        return frozenset()


def count_samples(report: Report, spec: LoaderSpec, samples: Sequence[Sample], step: int = 1) -> None:
    """Tell numbers of samples, recordings and cameras; warn about frames that are listed twice.

    step: how many frames away neighbours are
    """
    folders = Counter(os.path.dirname(container(sample.images[0])) for sample in samples)
    shortest, longest = min(folders.values()), max(folders.values())
    text = f"{len(samples)} from {len(folders)} folders of {shortest} to {longest} frames"
    report.tell("samples", text if len(folders) > 1 else f"{len(samples)} from one folder")
    if spec.dataset == "kitti":
        sides = Counter(
            "right" if "/image_03/" in path or "/image_3/" in path else "left"
            for path in (sample.images[0] for sample in samples)
        )
        report.tell("cameras", f"{sides['left']} left, {sides['right']} right")
        if spec.video and spec.training and not sides["right"]:
            report.warn("no right camera; training works, with half of the images")
    if spec.video:
        offsets = ", ".join(f"{offset * step:+d}" for offset in spec.frames if offset)
        report.tell("neighbours", f"{offsets} there for every sample")
    twice = len(samples) - len({sample.name for sample in samples})
    if twice:
        report.warn(f"{counted(twice, 'sample')} listed more than once")


def count_own_frames(
    report: Report, spec: LoaderSpec, root: Path, sequences: Sequence[Recording], samples: Sequence[Sample], step: int
) -> None:
    """Tell how many frames of a folder with own data are used; name sequences that are not, or that have gaps.

    root: --data-folder
    sequences: all that are in it
    step: how many frames away neighbours are
    """
    found = {sequence.name or root.name: sequence for sequence in sequences}
    frames = {name: sequence.frames() for name, sequence in found.items()}
    used = Counter(os.path.dirname(sample.images[0]) for sample in samples)
    total = sum(map(len, frames.values()))
    report.tell("frames", f"{total} in {counted(len(frames), 'sequence')}, {len(samples)} of them used")
    idle = [name for name, sequence in found.items() if not used.get(str(sequence.place))]
    if idle:
        what = "without a frame that has both neighbours" if spec.video else "without a frame for validation"
        least = f"it takes {2 * step + 1} frames" if spec.video else "--data-validation-share is less than that"
        report.warn(f"{counted(len(idle), 'sequence')} {what}: {first_of(idle)}; {least}")
    uneven = []
    for name, names in frames.items():
        steps = number_steps(names)
        if len(steps) > 1:
            uneven.append(f"{name} (by {min(steps)} to {max(steps)})")
    if uneven and any(len(sample.images) > 1 for sample in samples):
        report.warn(
            f"{counted(len(uneven), 'sequence')} whose numbers advance unevenly: {first_of(uneven)}; the "
            "motion between neighbours differs, split a sequence where frames are missing"
        )


def number_steps(names: Sequence[str]) -> set[int]:
    """Distances of the numbers of neighbours; empty where frames are told apart by several numbers, as time stamps."""
    if have_decimals(names):
        return set()
    rows = [numbers_of(name) for name in names]
    if len({len(row) for row in rows}) != 1:
        return set()
    columns = [column for column in zip(*rows, strict=True) if len(set(column)) > 1]
    return {after - before for before, after in pairwise(columns[0])} if len(columns) == 1 else set()
