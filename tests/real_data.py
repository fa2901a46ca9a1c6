"""Small pieces of real recordings, where this machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("REAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")


def root() -> Path:
    """Folder with `kitti_raw_mini` and `cityscapes_mini`; skips the test where it is absent."""
    if not (FOLDER / "kitti_raw_mini").is_dir():
        pytest.skip(f"no real recordings in {FOLDER}; set REAL_DATA_DIR")
    return FOLDER


def dataset_folder(where: Path) -> Path:
    """A data set folder in `where` whose `kitti` and `cityscapes` are links to the recordings."""
    source = root()
    where.mkdir(parents=True, exist_ok=True)
    (where / "kitti").symlink_to(source / "kitti_raw_mini", target_is_directory=True)
    (where / "cityscapes").symlink_to(source / "cityscapes_mini", target_is_directory=True)
    split = where / "kitti_zhou_split"
    split.mkdir()
    for part in ("train", "val"):
        (split / f"{part}_files.txt").write_text((source / f"kitti_raw_mini/splits/{part}_files.txt").read_text())
    (split / "test_files.txt").write_text((source / "kitti_raw_mini/splits/velodyne_files.txt").read_text())
    return where
