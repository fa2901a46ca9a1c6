"""Camera and encodings of a data set: its published parameters.json, else the table of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import UserError

from .catalog import DATASETS, DatasetSpec
from .index import read_json
from .labels import MODES
from .samples import check_intrinsics

DEPTH_MODES = ("uint_16", "uint_16_subtract_one", "normalized_100")


@dataclass(frozen=True)
class Parameters:
    """`intrinsics` fx, fy, cx, cy divided by width and height; how depth and label files are to be read."""

    intrinsics: tuple[float, float, float, float]
    depth_mode: str
    labels_mode: str


def read_parameters(root: Path, dataset: str) -> Parameters:
    """Parameters of the data set in `root`; entries that are absent or null come from the catalog.

    Raises:
        UserError: when the file is damaged, K is no camera matrix, or a mode is unknown.
    """
    spec = DATASETS[dataset]
    path = root / "parameters.json"
    stored = read_json(path) if path.is_file() else {}
    depth_mode = stored.get("depth_mode") or spec.depth_mode
    labels_mode = stored.get("labels_mode") or spec.labels_mode
    for mode, modes in ((depth_mode, DEPTH_MODES), (labels_mode, MODES)):
        if mode not in modes:
            raise UserError(f"{path}: mode {mode!r} is unknown; choose one of {', '.join(modes)}")
    return Parameters(_intrinsics(path, stored.get("K"), spec), depth_mode, labels_mode)


def _intrinsics(path: Path, matrix: object, spec: DatasetSpec) -> tuple[float, float, float, float]:
    if matrix is None:
        return check_intrinsics(str(path), spec.intrinsics)
    try:
        values = np.asarray(matrix, np.float64)
    except (TypeError, ValueError, OverflowError) as fault:
        raise UserError(f"{path}: K is not a matrix of numbers ({fault}); fetch the file again") from fault
    if values.ndim != 2 or min(values.shape) < 3:
        raise UserError(f"{path}: K has shape {values.shape}, expected (4, 4); fetch the file again")
    return check_intrinsics(f"{path}: K", (values[0, 0], values[1, 1], values[0, 2], values[1, 2]))
