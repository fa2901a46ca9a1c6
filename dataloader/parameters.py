"""Camera and encodings of a data set: its published parameters.json, else the table of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from errors import UserError

from .catalog import DATASETS, DatasetSpec
from .index import read_json
from .labels import MODES
from .listing import on_disk
from .samples import check_intrinsics

MIDDLE = 0.5
NORMALISE = "divide its row 1 by the width and its row 2 by the height of the images"
REMEDY = "mend it, or delete the file to use the published camera"
DEPTH_MODES = ("uint_16", "uint_16_subtract_one", "normalized_100")


@dataclass(frozen=True)
class Parameters:
    """`intrinsics` fx, fy, cx, cy divided by width and height; how depth and label files are to be read.

    `measured` as in `Sample`: published files and the catalog say 0.5, which is the middle and no column of pixels.
    """

    intrinsics: tuple[float, float, float, float]
    depth_mode: str
    labels_mode: str

    @property
    def measured(self) -> bool:
        """Whether cx was measured."""
        return self.intrinsics[2] != MIDDLE


def read_parameters(root: Path, dataset: str) -> Parameters:
    """Parameters of the data set in `root`; entries that are absent or null come from the catalog.

    Raises:
        UserError: when the file is damaged, K is no camera matrix, or a mode is unknown.
    """
    spec = DATASETS[dataset]
    path = on_disk(root / "parameters.json")
    stored = read_json(path, REMEDY) if path.is_file() else {}
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
        raise UserError(f"{path}: K is not a matrix of numbers ({fault}); {REMEDY}") from fault
    if values.ndim != 2 or min(values.shape) < 3:
        raise UserError(f"{path}: K has shape {values.shape}, expected (4, 4); {REMEDY}")
    camera = (values[0, 0], values[1, 1], values[0, 2], values[1, 2])
    in_pixels = max(camera[2:]) >= 1
    return check_intrinsics(f"{path}: K", camera, remedy=NORMALISE if in_pixels else REMEDY)
