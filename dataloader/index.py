"""The published index files: which files of a data set belong together, in JSON lists."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errors import UserError
from storage.text import read_text

from .lists import leads_out, parse_image_path

Entry = tuple[str, int, int]
"""Category, frame offset, resolution; the latter is always -1 for "as stored"."""


@dataclass(frozen=True)
class Category:
    """One kind of file or value.

    `items` are relative paths with `/`, or values. `positions` has one row (id, before, after, local) per item:
    frame id, frames before and after it in its uninterrupted sequence, place in the list of the whole data set.
    """

    items: list[Any]
    positions: list[tuple[int, int, int, int]]


Index = dict[str, Category]

_FILES = ("color", "depth", "segmentation")
"""How the names of categories begin whose items are files."""
TOGETHER = "use index files made together"
_SPLIT = re.compile(r"(?P<dataset>.+?)_(?P<split>.+)_split")


def rebuild(path: Path) -> str:
    """What makes an index file anew, as a remedy; the command never takes its own list from a damaged index file."""
    split = _SPLIT.fullmatch(path.parent.name)
    dataset = split["dataset"] if split else path.parent.name
    command = f"rebuild it with python -m dataloader.prepare index {dataset} --overwrite"
    if split is None or any(each.suffix.lower() == ".txt" for each in path.parent.rglob("*")):
        return command
    return f"fetch it again, or put a text list of the split beside it and {command}"


def read_json(path: Path, remedy: str, what: str = "file") -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        path: the file
        remedy: what to do about a file that is none
        what: kind of the file, for the error

    Raises:
        UserError: when it is missing, cut off, or something else than an object.
    """
    try:
        content = json.loads(read_text(path))
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror}); {remedy}") from fault
    except (ValueError, RecursionError) as fault:
        raise UserError(f"{path}: damaged {what} ({fault}); {remedy}") from fault
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__} instead of an object; {remedy}")
    return content


def read_index(path: Path, wanted: Collection[str] = ()) -> Index:
    """Categories of basic_files.json, train.json, validation.json or test.json; unknown keys are ignored.

    Args:
        path: the file
        wanted: the only categories to read, which saves seconds with the published files; empty for all

    Raises:
        UserError: when the file is missing, damaged, or its lists do not belong together.
    """
    return parse_index(read_json(path, rebuild(path), "index file"), path, wanted)


def parse_index(content: dict[str, Any], where: str | Path, wanted: Collection[str] = ()) -> Index:
    """As `read_index`, for content already in memory; `where` is its file, named in errors."""
    try:
        names, files, positions = content["names"], content["files"], content["positions"]
        values = content.get("numerical_values") or [None] * len(names)
        if not all(isinstance(name, str) for name in names):
            raise ValueError("names of categories that are no words")
        rows = list(zip(names, files, positions, values, strict=True))
        return {name: _category(name, *columns) for name, *columns in rows if not wanted or name in wanted}
    except KeyError as fault:
        raise UserError(f"{where}: damaged index file (no key {fault}); {rebuild(Path(where))}") from fault
    except (TypeError, ValueError, OverflowError) as fault:
        raise UserError(f"{where}: damaged index file ({fault}); {rebuild(Path(where))}") from fault


def _category(name: str, files: list[Any], positions: list[Sequence[int]], values: list[Any] | None) -> Category:
    items = [item.replace("\\", "/") if isinstance(item, str) else item for item in files]
    if name.startswith(_FILES):
        _check_paths(name, items, values)
    rows = []
    for row in positions:
        place, before, after, local = numbers = tuple(int(number) for number in row)
        if numbers != tuple(row) or min(before, after, local) < 0:
            raise ValueError(f"{name}: a position is {row!r}")
        rows.append((place, before, after, local))
    if len(rows) != len(items):
        raise ValueError(f"{len(items)} files with {len(rows)} positions")
    if values is not None and len(values) != len(items):
        raise ValueError(f"{len(items)} files with {len(values)} values")
    return Category(items if values is None else list(values), rows)


def _check_paths(name: str, items: Sequence[object], values: object) -> None:
    """Raises `ValueError` unless these are paths below the data set."""
    if values is not None:
        raise ValueError(f"{name}: numbers instead of files")
    for item in items:
        if not isinstance(item, str):
            raise ValueError(f"{name}: {item!r} is no path")
        if leads_out(item):
            raise ValueError(f"{name}: {item[:80]!r} leads out of the data set folder")


def resolve_index(
    split: Index,
    basic: Index,
    *,
    load: Iterable[str],
    video: Iterable[str] = (),
    frames: Sequence[int] = (0,),
    stereo: bool = False,
) -> dict[Entry, list[Any]]:
    """Files and values of one loader request, as parallel lists ordered by frame id.

    A frame stays when every category of `load` has it and, per category of `video`, its sequence reaches from
    min(frames) to max(frames). Neighbours are looked up in the whole data set; they need not be in the split.

    Args:
        split: the index of the split
        basic: the index of the whole data set
        load: category names; those the split lacks are left out
        video: categories whose neighbours are wanted
        frames: offsets; 0 is always given
        stereo: also load the other camera of every category that has one

    Returns:
        {(category, offset, -1): items}; categories in the order of the split.

    Raises:
        UserError: when an index leads to a frame that the whole data set does not have.
    """
    wanted = set(load)
    video = list(dict.fromkeys(video))
    if stereo:
        wanted |= {partner for name in load if name in split and (partner := _partner(name)) in split}
    used = {name: category for name, category in split.items() if name in wanted}
    if not used:
        return {}
    rows = {name: {row[0]: index for index, row in enumerate(each.positions)} for name, each in used.items()}
    common = set.intersection(*(set(places) for places in rows.values()))
    for name in video:
        if name in used:
            positions = used[name].positions
            common = {place for place in common if _reaches(positions[rows[name][place]], frames)}
    order = sorted(common)
    result: dict[Entry, list[Any]] = {
        (name, 0, -1): [category.items[rows[name][place]] for place in order] for name, category in used.items()
    }
    for offset in (frame for frame in frames if frame != 0):
        for name in (name for name in used if name in video):
            local = [used[name].positions[rows[name][place]][3] for place in order]
            result[name, offset, -1] = _neighbours(basic, name, result[name, 0, -1], local, offset)
    return result


def truth_by_image(split: Index, images: str, truth: str) -> dict[str, Any]:
    """What a split has in one category, by the image of the same frame; images that have none there are not in it.

    Args:
        split: the index of the split
        images: category of the images
        truth: category of what belongs to them; all images are without where the split lacks it
    """
    found = resolve_index(split, {}, load=(images, truth))
    return dict(zip(found.get((images, 0, -1), ()), found.get((truth, 0, -1), ()), strict=False))


def _partner(name: str) -> str:
    return name.removesuffix("_right") if name.endswith("_right") else f"{name}_right"


def _reaches(row: tuple[int, int, int, int], frames: Sequence[int]) -> bool:
    return row[1] >= -min(frames) and row[2] >= max(frames)


def _told_apart(item: Any) -> Any:
    """What tells an item from all others, however its folders are spelled; file names of KITTI recur in every drive."""
    if not isinstance(item, str):
        return item
    frame = parse_image_path(item)
    return (frame.drive.rpartition("/")[2], frame.camera, frame.number) if frame else item.rpartition("/")[2]


def _neighbours(basic: Index, name: str, own: list[Any], local: list[int], offset: int) -> list[Any]:
    """Items `offset` places behind those of a split, `own`, which lie at the places `local` of the whole data set."""
    whole = basic.get(name, Category([], []))
    items = whole.items
    for item, place in zip(own, local, strict=True):
        wanted = place + offset
        if not 0 <= wanted < len(items) or place >= len(items):
            raise UserError(
                f"basic_files.json: {len(items)} entries for {name}, but a split asks for number {wanted}; {TOGETHER}"
            )
        if items[place] != item and _told_apart(items[place]) != _told_apart(item):
            raise UserError(
                f"basic_files.json: entry {place} of {name} is {items[place]!r}, in a split it is {item!r}; {TOGETHER}"
            )
        if not _reaches(whole.positions[place], (offset,)):
            raise UserError(
                f"basic_files.json: entry {place} of {name}, {item!r}, has no neighbour {offset:+d} there, but a split "
                f"asks for it; {TOGETHER}"
            )
    return [items[place + offset] for place in local]
