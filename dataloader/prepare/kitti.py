"""KITTI raw drives, fetched resumably and unpacked where the loaders look for them."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dataloader.layouts.kitti_eigen import eigen_test_frames
from dataloader.layouts.kitti_files import SEQUENCES
from dataloader.missing import first_of
from dataloader.prepare import archives
from errors import UserError
from storage.atomic import require_room
from storage.download import NotOffered, download, part_path, remote_size
from storage.progress import Progress
from storage.text import read_text

SUMMARY = "Download raw KITTI drives, those that a split needs or those named; an interrupted run goes on."

BASE_URL = "https://s3.eu-central-1.amazonaws.com/avg-kitti/raw_data"
KNOWN = ("kitti_eigen_split", "kitti_eigen_benchmark_split")  # without a list it is the Eigen test set
DEFAULT_PARTS = ("image_02", "image_03", "velodyne_points", "oxts")
DRIVE_NAME = re.compile(r"(\d{4}_\d{2}_\d{2})(?:/\1)?(?:_drive_|/)(\d{4})(?:_sync)?")


@dataclass(frozen=True, order=True)
class Drive:
    """One recording: its date and its four-digit number."""

    date: str
    number: str

    @property
    def name(self) -> str:
        """Name of its folder and of its archive."""
        return f"{self.date}_drive_{self.number}_sync"


@dataclass(frozen=True)
class Archive:
    """One file to fetch and what to take from it."""

    url: str
    wanted: re.Pattern[str]

    @property
    def name(self) -> str:
        """File name."""
        return self.url.rsplit("/", 1)[-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.HelpFormatter
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="data set folder; drives go below its kitti"
    )
    parser.add_argument(
        "--drives",
        nargs="+",
        default=[],
        metavar="DRIVE",
        help="drives to get, e.g. 2011_09_26_drive_0052 or 2011_09_26/0052",
    )
    parser.add_argument(
        "--split",
        nargs="+",
        default=[],
        metavar="SPLIT",
        help="get the drives that these splits name, e.g. zhou; with neither --drives nor --split "
        "every kitti_<split>_split folder with lists counts",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        default=list(DEFAULT_PARTS),
        choices=archives.PARTS,
        metavar="PART",
        help=f"what to unpack: {', '.join(archives.PARTS)}; default all but the grey cameras 00 and 01",
    )
    parser.add_argument(
        "--jpg",
        action="store_true",
        help="store images as JPEG (quality 92), about a fifth of the room; scores differ slightly from PNG",
    )
    parser.add_argument("--keep-archives", action="store_true", help="keep the zip files after unpacking")
    parser.add_argument(
        "--base-url", default=BASE_URL, metavar="URL", help="folder of the archives (default %(default)s)"
    )


def parse_drive(text: str) -> Drive:
    """A drive from any of its usual spellings.

    Raises:
        UserError: the text is none of them.
    """
    match = DRIVE_NAME.fullmatch(text.strip().strip("/"))
    if match is None:
        raise UserError(f"{text}: not a drive; write it as 2011_09_26_drive_0052 or 2011_09_26/0052")
    return Drive(*match.groups())


def raw_folder(kitti: Path) -> Path:
    """Where date folders lie: directly below `kitti` when some do already, else ``Raw_data``."""
    names = [path.name for path in kitti.iterdir()] if kitti.is_dir() else []
    return kitti if any(re.fullmatch(r"\d{4}_\d{2}_\d{2}", name) for name in names) else kitti / "Raw_data"


def run(args: argparse.Namespace) -> int:
    """Fetch and unpack; returns the exit code.

    Raises:
        UserError: nothing to fetch, an unknown drive, no connection, after what is there was unpacked, too little
            room, or a damaged archive.
    """
    if not args.base_url.startswith(("http://", "https://")):
        raise UserError(f"--base-url {args.base_url}: not an address; it starts with https:// or http://")
    root, parts = raw_folder(args.out / "kitti"), tuple(dict.fromkeys(args.parts))
    named = [parse_drive(text) for text in args.drives]
    listed = split_drives(args.out, args.split) if args.split or not named else []
    drives = sorted({*named, *listed})
    todo = plan(root, drives, parts, args.base_url.rstrip("/"))
    sizes, lacking, fault = _sizes(todo, root, must_exist={f"{drive.name}.zip" for drive in named})
    total = sum(sizes.values()) / 2**30
    print(f"{root}: {len(drives)} drives wanted, {len(sizes)} archives to fetch ({total:.1f} GiB)")
    _check_room(root, sizes, args.jpg, args.keep_archives)
    for archive in Progress(sizes, "archives", total=len(sizes), shown=len(sizes) > 1):
        path = root / archive.name
        if not path.is_file() or path.stat().st_size != sizes[archive]:
            download(archive.url, path)
        count = archives.extract(path, root, archive.wanted, args.jpg)
        if not args.keep_archives:
            path.unlink()
        tqdm.write(f"{path.name}: {count} files unpacked")
    if lacking:
        print("to be fetched:", *lacking, sep="\n")
        raise UserError(
            f"{fault}; check the connection, or fetch {first_of(lacking)} elsewhere, put what you have as it is into "
            f"{root} and run the same command again, which goes on from there"
        )
    return 0


def split_drives(dataset_dir: Path, splits: Sequence[str]) -> list[Drive]:
    """Drives that the lists or index files of some splits name; those of the Eigen test set are known without.

    Args:
        dataset_dir: folder with ``kitti_<split>_split`` folders.
        splits: their names; empty takes every such folder.

    Raises:
        UserError: no such folder, or no drive named in it.
    """
    folders = [dataset_dir / f"kitti_{name}_split" for name in splits] or sorted(dataset_dir.glob("kitti_*_split"))
    if not folders:
        raise UserError(
            f"{dataset_dir}: no kitti_<split>_split folder; run python -m dataloader.prepare splits "
            f"--out {dataset_dir} first, or name drives with --drives"
        )
    drives: set[Drive] = set()
    for folder in folders:
        files = (path for path in folder.rglob("*") if path.suffix.lower() in (".txt", ".json"))
        found = {drive for path in files for drive in _named(path)}
        if folder.name in KNOWN and not found:
            found = {parse_drive(frame.drive) for frame in eigen_test_frames()}
        if not found:
            raise UserError(
                f"{folder}: no list that names drives; run python -m dataloader.prepare splits "
                f"--out {dataset_dir} first, or name drives with --drives"
            )
        drives |= found
    return sorted(drives)


def _named(path: Path) -> Iterable[Drive]:
    """Drives a list or an index file names, be it by path or by odometry sequence."""
    text = read_text(path, errors="replace")
    for date, number in set(re.findall(r"(\d{4}_\d{2}_\d{2})_drive_(\d{4})_sync", text)):
        yield Drive(date, number)
    for sequence in set(re.findall(r"^(\d{1,2}) +\d+ +[lr]\s*$", text, re.MULTILINE)):
        if recording := SEQUENCES.get(f"{int(sequence):02d}"):
            yield parse_drive(recording.drive)


def plan(root: Path, drives: Sequence[Drive], parts: tuple[str, ...], base_url: str) -> list[Archive]:
    """The archives to fetch: calibration of every date first, then the drives that are not complete yet."""
    todo = []
    for date in sorted({drive.date for drive in drives}):
        if not all((root / date / name).is_file() for name in archives.CALIBRATION):
            todo.append(Archive(f"{base_url}/{date}_calib.zip", archives.calibration_members(date)))
    for drive in drives:
        if not archives.is_complete(root / drive.date / drive.name, parts):
            folder = drive.name.removesuffix("_sync")
            todo.append(
                Archive(f"{base_url}/{folder}/{drive.name}.zip", archives.drive_members(drive.date, drive.name, parts))
            )
    return todo


def _sizes(todo: Sequence[Archive], root: Path, must_exist: set[str]) -> tuple[dict[Archive, int], list[str], str]:
    """Bytes of the archives that can be had; what a list names but the server does not offer is told and left out.

    Archives that somebody has put into `root` are taken as they are where the server cannot be reached.

    Returns: besides, the addresses of those that have to be fetched then, and why they cannot be.
    """
    sizes: dict[Archive, int] = {}
    fault, lacking = "", []
    for archive in Progress(todo, "archives", "look up sizes", len(todo), passing=True):
        path = root / archive.name
        try:
            if not fault:
                sizes[archive] = remote_size(archive.url)
                continue
        except NotOffered as error:
            if archive.name in must_exist:
                raise
            tqdm.write(f"left out: {error}")
            continue
        except UserError as error:
            fault = str(error).partition("; ")[0]
        if zipfile.is_zipfile(path):
            sizes[archive] = path.stat().st_size
        else:
            lacking.append(archive.url)
    if todo and not (sizes or lacking):
        raise UserError(f"{todo[0].url}: neither this nor any other archive is offered; check --base-url")
    return sizes, lacking, fault


def _check_room(root: Path, sizes: dict[Archive, int], jpg: bool, keep: bool) -> None:
    """Refuse to start what cannot end: unpacked files, and the archives that lie beside them."""
    unpacked = sum(sizes.values()) * (0.3 if jpg else 1.0)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{root}: cannot make this folder ({error.strerror}); choose another --out") from error
    paths = [root / archive.name for archive in sizes]
    begun = sum(path.stat().st_size for each in paths for path in (each, part_path(each)) if path.is_file())
    need = unpacked + (sum(sizes.values()) if keep else max(sizes.values(), default=0)) - begun
    words = "about {needed} needed, {free} free; make room, choose fewer drives with --drives or --split, or pass --jpg"
    require_room(root, need, words, "GiB")
