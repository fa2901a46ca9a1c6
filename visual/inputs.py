"""What inference is asked to look at: images and videos that words of the command line name. Imports no torch."""

from __future__ import annotations

import glob
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from storage import shelf
from storage.kinds import DEPTH_FOLDER, HEIF, VIDEOS, image_suffixes
from storage.text import read_text
from storage.wanted import fault_of_path

from .camera import is_camera, require_camera
from .lens import camera_fault

LIST = ".txt"
MOST_NAMED = 5  # of files that are left out


@dataclass(frozen=True)
class Inputs:
    """Images and films, each with the name of its outputs without extension.

    Cameras are among the films, under the word that names them.

    left_out: why files were left out
    missing:  a sentence for each line of a list that names nothing
    """

    images: dict[Path, str]
    videos: dict[Path, str]
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def find_inputs(words: Iterable[str], recursive: bool) -> Inputs:
    """Images and films that words name: files, folders, patterns such as ``*.png``, text lists of these, cameras.

    recursive: search folders below folders, too; their structure is kept in the names of the outputs

    Raises:
        UserError: with all words that name nothing, lists among them of which no line does.
    """
    found: dict[Path, Path] = {}
    left_out: list[Path] = []
    missing: list[str] = []
    faults = []
    for word in words:
        try:
            for path in _expanded(word, missing):
                if path.is_dir():
                    _take_folder(path, recursive, found, left_out)
                else:
                    found.setdefault(path, Path(path.name.replace(":", "_") if is_camera(path) else path.name))
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("; also ".join(faults))
    names = output_names(found)
    videos = {path: name for path, name in names.items() if path.suffix.lower() in VIDEOS or is_camera(path)}
    images = {path: name for path, name in names.items() if path not in videos}
    return Inputs(images, videos, tuple(_reasons(left_out)), tuple(dict.fromkeys(missing)))


def _expanded(word: str, missing: list[str]) -> Iterator[Path]:
    """Files and folders that exist, which a word names; what lists name in vain is noted in `missing`."""
    path = Path(word)
    if os.path.exists(path):
        if path.suffix.lower() == LIST and path.is_file():
            yield from _listed(path, missing)
        else:
            yield path
        return
    if is_camera(path):
        require_camera(path)
        yield path
        return
    if glob.has_magic(word):
        matches = sorted(glob.glob(word, recursive=True))
        if not matches:
            raise UserError(f"--image-path {word}: no file has such a name")
        yield from map(Path, matches)
        return
    parts = [part for part in word.split(",") if part]
    if len(parts) > 1 and all(os.path.exists(part) or glob.has_magic(part) for part in parts):
        for part in parts:
            yield from _expanded(part, missing)
        return
    raise UserError(f"--image-path {word}: does not exist; give images, folders of images, videos, camera:0 or a list")


def _listed(path: Path, missing: list[str]) -> Iterator[Path]:
    """What a text list names, a path a line, from where the command runs or from where the list lies.

    Raises:
        UserError: when the list cannot be read, or nothing that it names is there.
    """
    try:
        lines = [line.strip() for line in read_text(path, errors="surrogateescape").splitlines()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the list") from None
    named: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            named.setdefault(line, number)
    places = {line: next(filter(os.path.exists, (Path(line), path.parent / line)), None) for line in named}
    lost = [f"{path}: line {named[line]}: {line[:200]} does not exist" for line, place in places.items() if not place]
    if len(lost) == len(named):
        raise UserError(f"{lost[0] if lost else f'{path}: names no file'}; correct the list")
    missing += lost
    yield from filter(None, places.values())


def _take_folder(folder: Path, recursive: bool, found: dict[Path, Path], left_out: list[Path]) -> None:
    """Note the images of a folder, with where they lie in it, and its other files.

    Raises:
        UserError: when there is none.
    """
    suffixes = image_suffixes() + (VIDEOS if recursive else ())
    paths = sorted(_walk(folder, left_out) if recursive else folder.iterdir())
    files = [path for path in paths if not path.name.startswith(".") and path.is_file()]
    taken = [path for path in files if path.suffix.lower() in suffixes]
    if not taken:
        where = "in this folder and those below" if recursive else "in this folder (--recursive searches those below)"
        raise UserError(f"--image-path {folder}: no image {where}; known are {', '.join(image_suffixes())}")
    left_out += [path for path in files if path not in {*taken}]
    for path in taken:
        found.setdefault(path, path.relative_to(folder) if recursive else Path(path.name))


def _walk(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        truth = DEPTH_FOLDER in folders and any(name.lower().endswith(image_suffixes()) for name in files)
        left_out += [Path(place, DEPTH_FOLDER)] * truth
        passed = (DEPTH_FOLDER,) if truth else ()
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in passed)
        yield from (Path(place, name) for name in files)


def _reasons(left_out: Iterable[Path]) -> Iterator[str]:
    """One line for each kind of files that folders hold besides images."""
    kinds: dict[str, list[str]] = {}
    for path in left_out:
        suffix = path.suffix.lower()
        reason = "no images"
        if path.name == DEPTH_FOLDER and path.is_dir():
            reason = "depth beside images, as own data have it"
        elif suffix in VIDEOS:
            reason = "videos, to be named by themselves or found with --recursive"
        elif suffix in HEIF:
            reason = "HEIC, which 'pip install pillow-heif' lets be read"
        kinds.setdefault(reason, []).append(path.name)
    for reason, names in kinds.items():
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        yield f"left out: {', '.join(names[:MOST_NAMED])}{more} ({reason})"


def output_names(places: Mapping[Path, Path]) -> dict[Path, str]:
    """Names without extension, unique: what lies where (`places`) without its suffix.

    Where several inputs share one the extension is added (`a_png`), then the folder (`left_a_png`), then a number.
    """
    longer: list[Callable[[Path, Path, int], str]] = [
        lambda path, place, _: f"{place.stem}_{path.suffix[1:]}",
        lambda path, place, _: f"{path.absolute().parent.name}_{place.stem}_{path.suffix[1:]}",
        lambda path, place, number: f"{place.stem}_{path.suffix[1:]}_{number}",
    ]
    names = {path: place.with_name(place.stem).as_posix() for path, place in places.items()}
    tried = dict.fromkeys(names, 0)
    while True:
        counts = Counter(names.values())
        clashing = [path for path in names if counts[names[path]] > 1 and tried[path] < len(longer)]
        if not clashing:
            return names
        least = min(tried[path] for path in clashing)
        for number, path in enumerate(clashing, 1):
            if tried[path] == least:  # a lengthened name may meet another stem, which then gives way in the next round
                place = places[path]
                names[path] = place.with_name(longer[least](path, place, number)).as_posix()
                tried[path] += 1


def _unwritable(folder: Path) -> str:
    """Why a folder cannot be made, or nothing be written to it; "" where it can."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"


def asked_inputs(args: Namespace, runs: str, *found: str) -> Inputs:
    """What ``--image-path`` names, when all else that inference needs to be told is there.

    runs:  folder of all runs, whose checkpoints are offered where no network is named
    found: what else is wrong, "" where nothing is

    Raises:
        UserError: with all that is missing at once.
    """
    faults, inputs = [], Inputs({}, {})
    if not args.model_path:
        meant = f", --model-load {args.model_load} is for training and evaluation" if args.model_load else ""
        faults.append(
            f"--model-path: not given{meant}; {shelf.offer(runs, args.image_path[0] if args.image_path else '')}"
        )
    faults += filter(None, [fault_of_path(args.model_path, args.fetch)])
    if not args.image_path:
        faults.append("--image-path: not given; give images, a folder of images, a video or camera:0")
    try:
        inputs = find_inputs(args.image_path, args.recursive)
    except UserError as error:
        faults.append(str(error))
    if not args.output_path:
        faults.append("--output-path: not given; name a folder for what is written")
    elif reason := _unwritable(Path(args.output_path)):
        faults.append(f"--output-path {args.output_path}: cannot be made ({reason}); name another folder")
    faults += filter(None, found)
    if fault := camera_fault(args.intrinsics, args.fov):
        faults.append(fault)
    if faults:
        raise UserError("; also ".join(faults))
    return inputs
