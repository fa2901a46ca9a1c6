"""Small pieces of real recordings."""

from __future__ import annotations

from pathlib import Path

from tests import golden


def root() -> Path:
    """Folder with `kitti_raw_mini` and `cityscapes_mini`."""
    return golden.outside(golden.RECORDINGS)


def dataset_folder(where: Path) -> Path:
    """A data set folder in `where` of links to the recordings."""
    source = root()
    where.mkdir(parents=True, exist_ok=True)
    kitti = where / "kitti"
    kitti.mkdir()
    for part in (source / "kitti_raw_mini").glob("[!.]*"):
        (kitti / part.name).symlink_to(part)
    (where / "cityscapes").symlink_to(source / "cityscapes_mini", target_is_directory=True)
    split = where / "kitti_zhou_split"
    split.mkdir()
    for part in ("train", "val"):
        (split / f"{part}_files.txt").write_text((source / f"kitti_raw_mini/splits/{part}_files.txt").read_text())
    (split / "test_files.txt").write_text((source / "kitti_raw_mini/splits/velodyne_files.txt").read_text())
    return where
