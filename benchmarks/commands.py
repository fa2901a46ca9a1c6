"""The project's commands as users type them, for what trains networks on the synthetic street and judges them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COLUMNS = {
    "abs_rel": ("Abs Rel", ".3f"),
    "rmse": ("RMSE", ".2f"),
    "a1": ("a1", ".3f"),
    "edge_acc": ("edge accuracy, px", ".2f"),
    "edge_comp": ("edge completeness, px", ".2f"),
    "miou": ("mIoU", ".3f"),
    "ate_mean": ("ATE", ".3f"),
    "to_teacher": ("Abs Rel to its teacher", ".3f"),
    "minutes": ("minutes", ".1f"),
}
"""Metrics of the tables: title and format."""
TRAINING, HELD_OUT = "kitti_zhou_train", "kitti_zhou_validation"
"""Loaders of the images of a street that networks learn from, and of those they are judged on."""
Run = Callable[..., None]
"""Runs one of the commands, given as words; raises `SystemExit` where it fails."""


def command(*words: str | Path) -> None:
    """Run one of the project's commands, shown as a user would type it; stop where it fails."""
    line = [str(word) for word in words]
    print(f"\n$ python {' '.join(line)}", flush=True)
    code = subprocess.run([sys.executable, *line], cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def native_precision() -> list[str]:
    """Options for bf16 where the processor computes in it by itself; elsewhere it takes several times as long."""
    from engine.device import has_bf16

    return ["--train-precision", "bf16"] if has_bf16("cpu") else []


def usual_options(preset: Path, seed: int, data: Path, runs: Path, experiment: str, workers: int = 0) -> list[str]:
    """Options of training and of every evaluation.

    seed: of weights and of the order of the images; data: data set folder; runs: folder of all runs; experiment: the
    folder in it; workers: processes that load a data set
    """
    words = ["--config", preset, "--sys-cpu", "--sys-seed", seed, "--sys-num-workers", workers, "--dataset-dir", data]
    words += ["--checkpoint-dir", runs, "--experiment-class", experiment]
    return [*map(str, words), *native_precision()]


def read_results(runs: Path, experiment: str, name: str) -> dict[str, Any]:
    """What metrics.json of a run says."""
    return json.loads((runs / experiment / name / "metrics.json").read_text())


def held_out_frames(data: Path, folder: Path, count: int = 4) -> None:
    """Copy so many frames of different validation drives of a street into a folder, as 0.png, 1.png ..."""
    listed = (data / "kitti_zhou_split" / "val_files.txt").read_text().splitlines()
    folder.mkdir(parents=True, exist_ok=True)
    for number, line in enumerate(listed[:: max(1, len(listed) // count)][:count]):
        drive, frame, _ = line.split()
        source = data / "kitti" / drive / "image_02" / "data" / f"{int(frame):010d}.png"
        (folder / f"{number}.png").write_bytes(source.read_bytes())
