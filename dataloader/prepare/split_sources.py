"""Which frames belong to the parts of every KITTI split: its text lists, else the index files it came with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataloader.index import read_index
from dataloader.layouts import kitti_annotated
from dataloader.layouts.kitti import BORROWED, LIST_NAMES
from dataloader.layouts.kitti_files import raw_frame
from dataloader.listing import on_disk
from dataloader.lists import Frame, parse_image_path, read_list
from dataloader.prepare.scan import Key
from errors import UserError

KEPT = ".orig"
"""Ending of an index file that was replaced; it stays the source of its split when more data arrives."""


@dataclass(frozen=True)
class Source:
    """One part of one split: `target` is its index file below the data set folder, `frames` are those listed."""

    target: str
    path: Path
    frames: list[Frame]

    @property
    def keys(self) -> dict[Key, Frame]:
        """Moments the list names; a frame of either camera stands for both."""
        return {(raw.drive, raw.number): frame for frame in self.frames for raw in (raw_frame(frame),)}


def kitti_sources(home: Path) -> Iterator[Source]:
    """Every part of every ``kitti_<split>_split`` folder for which there is a list or an index file.

    Lists of images with their depth maps name files and need no index.

    Raises:
        UserError: there is none at all, or one is damaged.
    """
    empty = True
    for folder in sorted(path for path in home.glob("kitti_*_split") if path.name != kitti_annotated.FOLDER):
        for part in LIST_NAMES:
            path = _find(home, folder, part)
            if path is not None:
                empty = False
                frames = read_list(path) if path.suffix.lower() == ".txt" else _indexed(path)
                yield Source(f"{folder.name}/{part}.json", path, frames)
    if empty:
        raise UserError(
            f"{home}: no kitti_<split>_split folder with lists; fetch the published ones with "
            f"python -m dataloader.prepare splits --out {home}, or write train_files.txt into one"
        )


def _find(home: Path, folder: Path, part: str) -> Path | None:
    name = LIST_NAMES[part]
    word = name.partition("_")[0]
    exact = [folder / name, folder / "splits" / name]
    similar = sorted(path for path in (folder / "splits").glob(f"*{word}*") if path.suffix.lower() == ".txt")
    indexed = [folder / f"{part}.json{KEPT}", folder / f"{part}.json"]
    split = folder.name.removeprefix("kitti_").removesuffix("_split")
    if (split, part) in BORROWED:
        lender = home / f"kitti_{BORROWED[split, part]}_split"
        similar += [lender / name, lender / "splits" / name]
    return next((path for path in map(on_disk, (*exact, *similar, *indexed)) if path.is_file()), None)


def _indexed(path: Path) -> list[Frame]:
    index = read_index(path)
    paths = [item for name in ("color", "color_right") if name in index for item in index[name].items]
    frames = [parse_image_path(str(item)) for item in paths]
    if not all(frames):
        strange = next(item for item, frame in zip(paths, frames, strict=True) if frame is None)
        raise UserError(f"{path}: {strange!r} is no KITTI image path; fetch the index file again")
    return [frame for frame in frames if frame is not None]
