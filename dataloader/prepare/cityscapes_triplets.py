"""Triplets of Cityscapes video, resized and without the bonnet, as BDEdepth trains on them."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from PIL import Image

from dataloader.calibration import read_camera
from dataloader.described import describe
from dataloader.files import image_size, open_rgb
from dataloader.layouts.cityscapes_triplets import CAMERA, LIST
from dataloader.layouts.cityscapes_video import (
    GAP,
    REMEDY,
    SEQUENCES,
    Cameras,
    Shot,
    complete_shots,
    find_frames,
    nearest_size,
)
from dataloader.listing import Listing
from dataloader.prepare.put import put
from dataloader.prepare.training_data import add_dataset_dir
from dataloader.transforms import FILTERS
from errors import UserError
from storage.atomic import require_room
from storage.progress import Progress
from street.workers import run_jobs

log = logging.getLogger(__name__)
SUMMARY = "Make triplets of Cityscapes video, for the loader cityscapes_train; an interrupted run goes on."
PART, IMAGE = "train", ".png"
ABOUT = f"""
Every frame of {SEQUENCES}/train with one {GAP} before and {GAP} after it becomes
OUT/<city>/<frame>{IMAGE}: the three in their order above one another, resized with LANCZOS, each without its lowest
quarter; OUT/<city>/<frame>{CAMERA} has their camera. For a data set folder DIR, name DIR/cityscapes_triplets as OUT:
cityscapes_train finds it there. It takes those that {LIST} lists, in OUT or in DIR/cityscapes; without a list, all.
"""
META = "triplets.json"
KEPT = 0.75
"""Of the rows of a frame."""
LEAST = 32
BYTES_PER_PIXEL = 1.4  # of a PNG of the street
ROOM = 0.1  # of that, for camera files and what file systems add


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT
    add = parser.add_argument
    add_dataset_dir(add, "data set folder with cityscapes/")
    add("--out", required=True, metavar="OUT", help="folder of the triplets; made where it is missing")
    add("--height", type=int, default=512, help="rows of a whole frame, of which three quarters are kept; default: 512")
    add("--width", type=int, default=1024, help="columns of a frame; default: 1024")
    add("--workers", type=int, default=0, help="processes; default: 0, one per processor core")


def run(args: argparse.Namespace) -> int:
    """Make what is missing; returns the exit code.

    Raises:
        UserError: a mistake in the options, missing or damaged data, another kind of folder, or a full disk.
    """
    if not args.dataset_dir:
        raise UserError("--dataset-dir: not given; pass the folder with cityscapes/, or set IFN_DIR_DATASET")
    for name, value, least in (
        ("height", args.height, LEAST),
        ("width", args.width, LEAST),
        ("workers", args.workers, 0),
    ):
        if value < least:
            raise UserError(f"--{name} {value}: give at least {least}")
    root, out, size = Path(args.dataset_dir) / "cityscapes", Path(args.out), (args.height, args.width)
    listing = Listing(root)
    shots = complete_shots(find_frames(listing, PART))
    if not shots:
        raise UserError(f"{root}: no frame in {SEQUENCES}/{PART} has one {GAP} before and {GAP} after it; {REMEDY}")
    cameras = Cameras(listing, PART)
    if lonely := next((shot for shot in shots if not cameras.of(shot)), None):
        raise UserError(f"{root / cameras.expected(lonely)}: no such file, nor one of its sequence; {REMEDY}")
    _doubt_size(root, shots[0], cameras.of(shots[0]))
    _describe(out, size)
    lacking = [shot for shot in shots if not _is_there(out, shot)]
    _tell_room(out, size, len(shots), len(lacking))
    jobs = [(_make_run, (root, out, size, run, cameras.of(run[0]))) for run in _runs(lacking, cameras)]
    with Progress(unit="triplets", title="make triplets", total=len(lacking)) as bar:
        run_jobs(jobs, args.workers or os.cpu_count() or 1, bar.update)
    print(f"{out}: complete, {len(shots)} triplets, {len(lacking)} of them made now")
    return 0


def _doubt_size(root: Path, shot: Shot, camera: str) -> None:
    """Warn where frames were resized, and their cameras were not."""
    size = image_size(root / shot.frames[1])
    if nearest_size(read_camera(root / camera), size) != size:
        log.warning(
            "%s: %d x %d (height x width), and the camera in %s is one of larger images; the camera files of triplets "
            "take it as that of these: make them from frames of full size",
            root / shot.frames[1],
            *size,
            root / camera,
        )


def _describe(out: Path, size: tuple[int, int]) -> None:
    """Note in the folder how its triplets are made; raises `UserError` where it has others, or other things."""
    recipe = {"height": size[0], "width": size[1], "kept": KEPT, "gap": GAP}
    if not describe(out, META, json.dumps(recipe, indent=1).encode() + b"\n", "folder of triplets"):
        return
    try:
        there = json.loads((out / META).read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise UserError(f"{out / META}: damaged ({fault}); delete the folder or choose another") from fault
    if there != recipe:
        raise UserError(
            f"{out}: holds triplets made as {there}, not as {recipe}; choose another folder, or its options"
        )


def _tell_room(out: Path, size: tuple[int, int], total: int, count: int) -> None:
    """Say how much is to do and how much room it takes; raises `UserError` where there is too little."""
    room = require_room(
        out,
        count * 3 * KEPT * size[0] * size[1] * BYTES_PER_PIXEL * (1 + ROOM),
        f"{count} triplets need about {{needed}}, {{free}} are free; make room or choose another disk",
    )
    print(f"{out}: {total - count} of {total} triplets are there, {count} to make: {room}", flush=True)


def _paths(out: Path, shot: Shot) -> tuple[Path, Path]:
    """Where a triplet belongs, and its camera file, which is written last."""
    stem = out / shot.sequence.rpartition("_")[0] / shot.name
    return stem.with_name(stem.name + IMAGE), stem.with_name(stem.name + CAMERA)


def _is_there(out: Path, shot: Shot) -> bool:
    return all(path.is_file() for path in _paths(out, shot))


def _runs(shots: Sequence[Shot], cameras: Cameras) -> Iterator[list[Shot]]:
    """Shots of one snippet each, which share frames."""
    return (list(run) for _, run in groupby(shots, lambda shot: (shot.sequence, cameras.of(shot))))


def _make_run(
    root: Path, out: Path, size: tuple[int, int], shots: list[Shot], camera: str, check: Callable[[], None]
) -> int:
    """Write the triplets of one snippet; every frame is decoded once. Returns their number."""
    frames: dict[str, Image.Image] = {}
    text = b""
    for shot in shots:
        check()
        for path in shot.frames:
            if path not in frames:
                picture = open_rgb(root / path)
                text = text or camera_text(root / camera, (picture.height, picture.width), size)
                frames[path] = shrunk(picture, size)
        image, beside = _paths(out, shot)
        put(image, _png(stacked([frames[path] for path in shot.frames])))
        put(beside, text)
    return len(shots)


def shrunk(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A frame resized to (height, width), without its lowest quarter."""
    return picture.resize(size[::-1], FILTERS["lanczos"]).crop((0, 0, size[1], int(KEPT * size[0])))


def stacked(frames: Sequence[Image.Image]) -> Image.Image:
    """Frames of one size above one another."""
    width, height = frames[0].size
    image = Image.new("RGB", (width, height * len(frames)))
    for place, frame in enumerate(frames):
        image.paste(frame, (0, place * height))
    return image


def camera_text(camera: Path, source: tuple[int, int], size: tuple[int, int]) -> bytes:
    """Intrinsics of frames of (height, width) `source` resized to `size`, in the text form of SfMLearner.

    Raises:
        UserError: when the camera file is damaged.
    """
    fx, fy, cx, cy = read_camera(camera)
    down, across = size[0] / source[0], size[1] / source[1]
    return f"{fx * across:f},0.,{cx * across:f},0.,{fy * down:f},{cy * down:f},0.,0.,1.".encode()


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    return content.getvalue()
