"""Categories of the published index files: from files by frame to their parallel lists."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dataloader.catalog import DATASETS
from dataloader.prepare.scan import Key, Kind
from dataloader.prepare.values import Values

STEREO_BASELINE = {"kitti": 0.54, "kitti_2015": 0.54, "cityscapes": 0.22}  # metres, nominal
LABELS = {"kitti": "kitti", "kitti_2015": "kitti", "cityscapes": "cityscapes"}
FLOW_MODE = {"kitti_2015": "kitti"}


@dataclass(frozen=True)
class Column:
    """One category of a whole data set, row by row; `values` takes the place of `files` in the splits."""

    name: str
    filters: Sequence[str]
    files: list[str]
    positions: list[list[int]]
    values: list[Any] | None = None

    @property
    def kind(self) -> str:
        """Extension, as the published files tell it."""
        return ".txt" if self.values is not None else os.path.splitext(self.files[0])[1]


def number_frames(color: dict[Key, str]) -> dict[Key, int]:
    """Frame id of every left colour image: its place in the case-insensitive order of the paths."""
    return {key: place for place, key in enumerate(_in_order(color))}


def make_columns(
    kinds: Iterable[Kind], found: dict[str, dict[Key, str]], values: Iterable[Values], ids: dict[Key, int]
) -> list[Column]:
    """All categories that have any entry; entries without a left colour image are left out.

    Args:
        kinds: image categories in their order
        found: files by category and frame
        values: categories of numbers, kept beside the images of their camera
        ids: frame id of every left colour image
    """
    columns = []
    for kind in kinds:
        files = {key: path for key, path in found[kind.name].items() if key in ids}
        keys = _in_order(files)
        columns.append(Column(kind.name, kind.filters, [files[key] for key in keys], positions(keys, ids)))
    for each in values:
        images = found[each.camera]
        keys = _in_order({key: images[key] for key in each.of if key in ids and key in images})
        columns.append(
            Column(
                each.name,
                each.filters,
                [images[key] for key in keys],
                positions(keys, ids),
                [each.of[key] for key in keys],
            )
        )
    return [column for column in columns if column.files]


def positions(keys: Sequence[Key], ids: dict[Key, int]) -> list[list[int]]:
    """Rows (frame id, frames before, frames after, place) of one category.

    A recording is uninterrupted as long as every frame number is the one before plus 1.
    """
    rows: list[list[int]] = []
    start = 0
    for place, key in enumerate(keys):
        if place and (keys[place - 1][0], keys[place - 1][1] + 1) != key:
            start = place
        rows.append([ids[key], place - start, 0, place])
    after = 0
    for place in range(len(rows) - 2, -1, -1):
        after = after + 1 if rows[place + 1][1] else 0
        rows[place][2] = after
    return rows


def _in_order(files: dict[Key, str]) -> list[Key]:
    return sorted(files, key=lambda key: (files[key].lower(), files[key]))


def basic_content(columns: Sequence[Column]) -> dict[str, Any]:
    """Content of basic_files.json."""
    return {
        "names": [column.name for column in columns],
        "types": [column.kind for column in columns],
        "filters": [list(column.filters) for column in columns],
        "folders": [_folders(column.files) for column in columns],
        "files": [column.files for column in columns],
        "positions": [column.positions for column in columns],
        "numerical_values": [column.values for column in columns],
    }


def split_content(columns: Sequence[Column], chosen: Collection[int]) -> dict[str, Any]:
    """Content of train.json and its like for the chosen frame ids; values stand where the file names were."""
    content: dict[str, Any] = {
        "names": [column.name for column in columns],
        "types": [column.kind for column in columns],
        "folders": [],
        "files": [],
        "positions": [],
    }
    for column in columns:
        rows = [row for row, position in enumerate(column.positions) if position[0] in chosen]
        items = column.files if column.values is None else column.values
        content["files"].append([items[row] for row in rows])
        content["folders"].append(_folders(column.files[row] for row in rows))
        content["positions"].append([column.positions[row] for row in rows])
    return content


def _folders(files: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(path.rpartition("/")[0] for path in files))


def parameters_content(dataset: str, splits: Sequence[str] = ()) -> dict[str, Any]:
    """Content of parameters.json: the camera of the data set and how its files are to be read."""
    spec = DATASETS[dataset]
    fx, fy, cx, cy = spec.intrinsics
    return {
        "K": [[fx, 0, cx, 0], [0, fy, cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        "stereo_T": STEREO_BASELINE[dataset],
        "labels": LABELS[dataset],
        "labels_mode": spec.labels_mode,
        "depth_mode": spec.depth_mode,
        "flow_mode": FLOW_MODE.get(dataset),
        "splits": list(splits),
    }
