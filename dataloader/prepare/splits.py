"""Published split lists, fetched on the user's machine or taken from files at hand, and checked."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataloader.prepare.put import put
from dataloader.prepare.split_table import EXTRA, LISTS, SplitList, content_of
from errors import UserError, closest
from storage.download import download

SUMMARY = "Fetch the published split lists and check them by number of lines and sha256."

SPLITS = ("zhou", "eigen", "benchmark", "odom09", "odom10")
ABOUT = f"""
Which list goes where (monodepth2's names on the left):
  eigen_zhou/train_files, val_files    kitti_zhou_split/train_files.txt, val_files.txt
  eigen/test_files (697)               kitti_zhou_split/test_files.txt and kitti_eigen_split/test_files.txt
  eigen_full/train_files, val_files    kitti_eigen_split/train_files.txt, val_files.txt; eigen_full puts the first into
                                       kitti_eigen_full_split/
  benchmark/train_files, val_files     kitti_benchmark_split/train_files.txt, val_files.txt
  odom/train_files, val_files (0-8)    kitti_odom09_split/... and kitti_odom10_split/...
  odom/test_files_09, test_files_10    kitti_odom09_split/test_files.txt, kitti_odom10_split/test_files.txt
  eigen_*_files_with_gt (of BTS)       kitti_annotated_split/train_files.txt, test_files.txt, by the name annotated
  nyudepthv2_*_files_with_gt (of BTS)  nyu_v2/train_files.txt, test_files.txt, by the name nyu_v2

NAMES chooses splits ({", ".join(SPLITS)}; all of them by default) or single lists by their published
name, e.g. static_frames.txt; lists that no loader reads go to {EXTRA}/<project>/. They are:
  {(chr(10) + "  ").join(entry.name for entry in LISTS if entry.targets[0].startswith(EXTRA))}

The split called kitti is SGDepth's own: it was published as index files only (kitti_kitti_split/train.json,
validation.json, test.json), not as a text list; copy that folder from SGDepth's download.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    parser.add_argument("names", nargs="*", metavar="NAMES", help="splits or lists to get; all splits by default")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="data set folder to put them into")
    parser.add_argument(
        "--from",
        dest="source",
        default="",
        metavar="DIR",
        help="take files at hand: searched below DIR by name and checksum; nothing is fetched",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace lists that differ from the published ones")


def run(args: argparse.Namespace) -> int:
    """Get every list asked for; returns the exit code.

    Raises:
        UserError: unknown name, a list that cannot be had, or one that is not the published one.
    """
    if args.source and not Path(args.source).is_dir():
        raise UserError(f"--from {args.source}: no such folder; name the one that holds the lists")
    jobs = select(args.names)
    todo = {
        entry: [path for path in targets if not _in_place(entry, args.out / path, args.overwrite)]
        for entry, targets in jobs.items()
    }
    for entry, targets in jobs.items():
        if todo[entry]:
            data = _search(entry, Path(args.source)) if args.source else _fetch(entry, args.out / todo[entry][0])
            content = checked(entry, data, args.source or entry.url)
            for path in todo[entry]:
                put(args.out / path, content)
        for path in targets:
            state = "written" if path in todo[entry] else "already there"
            print(f"{args.out / path}: {entry.items} items, {state}")
    return 0


def select(names: Sequence[str]) -> dict[SplitList, list[str]]:
    """The lists behind split and list names, each with the places it goes to (below the data set folder).

    Raises:
        UserError: a name that is neither, or the split that has no published list.
    """
    chosen: dict[SplitList, list[str]] = {}
    for name in names or SPLITS:
        if name in ("kitti", "kitti_kitti_split"):
            raise UserError(
                "kitti: SGDepth's own split has no published text list; copy kitti_kitti_split with its "
                "train.json, validation.json and test.json from SGDepth's download, or use zhou"
            )
        found = list(_matching(name))
        if not found:
            known = [*SPLITS, *(entry.name for entry in LISTS)]
            raise UserError(f"{name}: neither a split nor a published list{closest(name, known)}; --help names them")
        for entry, path in found:
            places = chosen.setdefault(entry, [])
            places.extend([path] if path not in places else [])
    return chosen


def _matching(name: str) -> Iterator[tuple[SplitList, str]]:
    """Lists of a split, of a project, or of that name; a bare file name counts where only one list has it."""
    bare = [entry for entry in LISTS if Path(entry.name).name == name]
    folders = (f"kitti_{name}_split/", f"{name}/", f"{EXTRA}/{name}/")
    for entry in LISTS:
        for path in entry.targets:
            if path.startswith(folders) or entry.name == name or bare == [entry]:
                yield entry, path


def checked(entry: SplitList, data: bytes, origin: str) -> bytes:
    """The content to keep, when it is the published one.

    Raises:
        UserError: naming the list, and the items and checksum expected and found.
    """
    content, items, digest = content_of(entry, data)
    if (items, digest) == (entry.items, entry.sha256):
        return content
    raise UserError(
        f"{entry.name} from {origin}: {items} items with sha256 {digest}, expected {entry.items} with "
        f"{entry.sha256}; this is not the published list, get it anew or pass the right one with --from"
    )


def _in_place(entry: SplitList, path: Path, overwrite: bool) -> bool:
    """Whether the published list is there already; another one is only replaced when that was asked for."""
    if not path.is_file():
        return False
    _, items, digest = content_of(entry, path.read_bytes())
    if digest == entry.sha256:
        return True
    if overwrite:
        return False
    raise UserError(
        f"{path}: holds {items} items and is not the published {entry.name} ({entry.items}); "
        "pass --overwrite to replace it, or another --out"
    )


def _fetch(entry: SplitList, target: Path) -> bytes:
    by_hand = f"save it by hand as {target}, or pass the folder that holds it with --from"
    if not entry.url:
        raise UserError(f"{entry.name}: no public address is known; {by_hand}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(entry.name).name
        try:
            download(entry.url, path, attempts=2)
        except UserError as error:
            raise UserError(f"{entry.name}: {str(error).split('; ')[0]}; {by_hand}") from error
        return path.read_bytes()


def _search(entry: SplitList, folder: Path) -> bytes:
    """The file of the right name and content below a folder, else the one under the published sub-path."""
    names = {Path(entry.name).name, *(Path(path).name for path in entry.targets)}
    candidates = sorted(path for path in folder.rglob("*") if path.name in names and path.is_file())
    for path in candidates:
        data = path.read_bytes()
        if content_of(entry, data)[2] == entry.sha256:
            return data
    places = {entry.name, *entry.targets}
    for path in candidates:  # named as published, so its content is what is wrong
        if any(path.as_posix().endswith(f"/{place}") for place in places):
            checked(entry, path.read_bytes(), str(path))
    raise UserError(
        f"{folder}: {len(candidates)} files named {' or '.join(sorted(names))}, none of them the published "
        f"{entry.name} ({entry.items} items, sha256 {entry.sha256}); get it from {entry.url or 'its authors'}"
    )
