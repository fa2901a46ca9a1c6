"""Which files a loader would open, and whether they are there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from dataloader.catalog import LoaderSpec
from dataloader.check.report import Report, counted, first_of
from dataloader.files import IMAGE_TYPES
from dataloader.layouts.folder import DEPTH_FOLDER
from dataloader.samples import Sample
from dataloader.velodyne import CAMERA_FILE, SCANNER_FILE


def needed(sample: Sample) -> Iterator[str]:
    """Paths of everything that is read for one sample."""
    yield from sample.images.values()
    if sample.labels:
        yield sample.labels
    if sample.depth is not None:
        yield sample.depth.path
        match sample.depth.kind:
            case "velodyne":
                yield from (f"{sample.depth.calibration}/{name}" for name in (CAMERA_FILE, SCANNER_FILE))
            case "disparity":
                yield sample.depth.calibration


def check_files(report: Report, samples: Sequence[Sample]) -> None:
    """Tell how many files there are, and name those that are missing; every folder is listed once."""
    listing = lru_cache(maxsize=None)(_names)
    paths = {path: None for sample in samples for path in needed(sample)}
    missing = []
    for path in tqdm(paths, desc="look up files", unit="file", leave=False, disable=None):
        folder, name = os.path.split(path)
        if name not in listing(folder):
            missing.append(path)
    report.tell("files", f"{len(paths)} looked up, {len(missing)} missing")
    if missing:
        report.fault(f"{counted(len(missing), 'file')} missing: {first_of(missing)}; fetch what is missing")


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def count_samples(report: Report, spec: LoaderSpec, samples: Sequence[Sample]) -> None:
    """Tell numbers of samples, recordings and cameras; warn about frames that are listed twice."""
    folders = Counter(os.path.dirname(sample.images[0]) for sample in samples)
    shortest, longest = min(folders.values()), max(folders.values())
    text = f"{len(samples)} from {len(folders)} folders of {shortest} to {longest} frames"
    report.tell("samples", text if len(folders) > 1 else f"{len(samples)} from one folder")
    if spec.dataset == "kitti":
        sides = Counter("right" if "/image_03/" in path or "/image_3/" in path else "left"
                        for path in (sample.images[0] for sample in samples))  # fmt: skip
        report.tell("cameras", f"{sides['left']} left, {sides['right']} right")
        if spec.training and not sides["right"]:
            report.warn("no right camera; training works, with half of the images")
    if spec.video:
        offsets = ", ".join(f"{offset:+d}" for offset in spec.frames if offset)
        report.tell("neighbours", f"{offsets} there for every sample")
    twice = len(samples) - len({sample.name for sample in samples})
    if twice:
        report.warn(f"{counted(twice, 'sample')} listed more than once")


def count_own_frames(report: Report, root: Path, samples: Sequence[Sample]) -> None:
    """Tell how many frames of a folder with own data are used, and name sequences that are not."""
    folders = [
        root,
        *(
            path
            for path in sorted(root.iterdir())
            if path.is_dir() and path.name != DEPTH_FOLDER and path.name[0] != "."
        ),
    ]
    frames = {folder: sum(1 for path in folder.iterdir() if path.suffix.lower() in IMAGE_TYPES) for folder in folders}
    used = Counter(os.path.dirname(sample.images[0]) for sample in samples)
    with_frames = {folder: count for folder, count in frames.items() if count}
    report.tell("frames", f"{sum(with_frames.values())} in {len(with_frames)} sequences, {len(samples)} of them used")
    idle = [folder.name for folder in with_frames if not used.get(str(folder))]
    if idle:
        report.warn(f"{counted(len(idle), 'sequence')} without a frame that has both neighbours: {first_of(idle)}; "
                    "it takes three frames in a row")  # fmt: skip
