"""Render a whole data set folder: drives in the layout of KITTI raw, single streets in that of Cityscapes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from errors import UserError

from . import files
from .plan import SEQUENCES, VERSION, Drive, Recipe, plan, split_lists
from .record import drive_folder, street_files, write_drive, write_street
from .workers import Job, run_jobs

SUMMARY = "synthetic.json"
SECONDS_BETWEEN = 10.0  # of progress in a log


def write_dataset(
    out: Path,
    *,
    drives: int = 2,
    frames: int = 4,
    height: int = 64,
    width: int = 128,
    seed: int = 0,
    workers: int = 1,
    progress: bool = False,
) -> None:
    """Render a data set folder; what an interrupted run has finished is kept.

    Args:
        out: the data set folder.
        drives: number of training drives; validation, test and odometry drives come on top.
        frames: frames per drive; odometry drives have five times as many.
        height: image height of the drives, pixels.
        width: image width of the drives, pixels.
        seed: decides every picture.
        workers: number of processes; has no influence on the files.
        progress: show a progress bar on stderr.

    Raises:
        UserError: an option is out of range, or the folder holds something else.
    """
    recipe = Recipe(drives, frames, height, width, seed)
    if workers < 1:
        raise UserError(f"--workers {workers}: needs at least one process; pass a number above 0")
    out = Path(out)
    _claim(out, recipe)
    all_drives, streets = plan(recipe)
    for name, text in files.calibration_files(recipe.camera).items():
        files.write_text(out / "kitti" / files.DATE / name, text)
    missing = [drive for drive in all_drives if not drive_folder(out, drive).is_dir()]
    missing.sort(key=lambda drive: -drive.frames)  # long ones first, so that the workers end together
    jobs: list[Job] = [(write_drive, (out, recipe, drive)) for drive in missing]
    new_streets = [street for street in streets if not street_files(out, street)[-1].exists()]
    jobs += [(write_street, (out, recipe, street)) for street in new_streets]
    total = sum(drive.frames for drive in all_drives) + len(streets)
    left = sum(drive.frames for drive in missing) + len(new_streets)
    pause = 0.1 if sys.stderr.isatty() else SECONDS_BETWEEN
    counted = {"total": total, "initial": total - left, "unit": "frame", "desc": "street", "mininterval": pause}
    with tqdm(**counted, disable=not progress) as bar:
        run_jobs(jobs, workers, bar.update)
    for path, text in split_lists(all_drives).items():
        files.write_text(out / path, text)
    for drive in all_drives:
        if drive.part in SEQUENCES:
            files.write_text(out / "kitti" / "poses" / f"{drive.part}.txt", _pose_file(recipe, drive))
    _write_summary(out, {**recipe.stored(), "files": _counts(out)})


def _claim(out: Path, recipe: Recipe) -> None:
    """Make the folder ours, or refuse one that holds another recipe or data of another origin."""
    summary = out / SUMMARY
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not summary.exists():
            for name in ("kitti", "cityscapes"):
                if (out / name).exists():
                    raise UserError(f"{out}: holds {name}/ but no {SUMMARY}; choose a new folder for --out")
            _write_summary(out, recipe.stored())
        found = json.loads(summary.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{out}: cannot be used ({error.strerror}); choose another folder for --out") from error
    except ValueError as error:
        raise UserError(f"{summary}: is not JSON ({error}); remove the folder or choose another one") from error
    if any(found.get(key) != value for key, value in recipe.stored().items()):
        raise UserError(
            f"{out}: holds a data set made with {found.get('options')} (version {found.get('version')}), "
            f"not with {asdict(recipe)} (version {VERSION}); remove it or choose another folder"
        )


def _write_summary(out: Path, content: dict[str, object]) -> None:
    temporary = out / f".{SUMMARY}.tmp"
    files.write_text(temporary, json.dumps(content, indent=2) + "\n")
    os.replace(temporary, out / SUMMARY)


def _pose_file(recipe: Recipe, drive: Drive) -> str:
    ride = drive.draw(recipe.seed).ride
    return files.pose_lines([ride.pose(frame) for frame in range(drive.frames)])


def _counts(out: Path) -> dict[str, int]:
    """Number of files per top-level folder and ending."""
    counts: dict[str, int] = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.parent != out:
            key = f"{path.relative_to(out).parts[0]}/*{path.suffix}"
            counts[key] = counts.get(key, 0) + 1
    return counts
