"""KITTI odometry: pairs of neighbouring frames of one drive, with the true camera poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from errors import UserError
from storage.text import read_text

from ..index import read_index, rebuild, resolve_index
from ..listing import on_disk
from ..lists import Frame, fetch_list, parse_image_path, read_list
from ..missing import Missing
from ..parameters import Parameters, read_parameters
from ..samples import Request, Sample
from .kitti import find_split, from_frames, indexed_images
from .kitti_files import SEQUENCES, KittiFiles, raw_frame

REMEDY = "fetch them, poses need every frame of a drive"


def odometry_samples(request: Request) -> list[Sample]:
    """Frames 0 and +1 of one odometry sequence in order, `pose` of frame 0 camera-to-world in metres.

    The frames come from an index file or a text list, else they are all frames of the sequence. Those without a frame
    before or after them are left out, as SGDepth's loader does, which reads both neighbours; with `Request.ends` none
    is, and the frame that the last motion leads to comes last, for its pose alone (Monodepth2).

    Raises:
        UserError: when images or poses are missing or the frames are not one run of one drive.
    """
    files = KittiFiles(request.dataset_dir, request.cache_folder)
    parameters = read_parameters(files.root, "kitti")
    path = find_split(request)
    if path is not None and path.suffix.lower() == ".json":
        return _from_index(path, request, files, parameters)
    sequence = request.spec.split.removeprefix("odom")
    if path is None:
        frames = _whole_sequence(files, sequence)
    else:
        frames = _one_run(path, read_list(path), f"mend it, or {fetch_list(path)}")
    poses_path = on_disk(files.root / "poses" / f"{sequence}.txt")
    poses = read_poses(poses_path)
    if request.ends:
        frames = _with_next(files, frames, lambda frame: _place(frame, sequence) < len(poses))
        samples = from_frames(request, path or files.root, frames[:-1], files, parameters, REMEDY)
        last = files.image(frames[-1])
        samples.append(replace(samples[-1], name=frames[-1].name, images={0: last, 1: last}))
    else:
        frames = _with_neighbours(files, frames)
        samples = from_frames(request, path or files.root, frames, files, parameters, REMEDY)
    return [
        _with_pose(sample, poses, _place(frame, sequence), poses_path)
        for sample, frame in zip(samples, frames, strict=True)
    ]


def read_poses(path: Path) -> np.ndarray:
    """Poses of a sequence, one line of 12 numbers (3x4, row-major) per frame.

    Returns: (N, 4, 4) float64, camera-to-world, metres.

    Raises:
        UserError: when the file is missing or a line has other content.
    """
    try:
        rows = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: cannot read the poses ({fault}); unpack the odometry poses there") from fault
    poses = []
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        try:
            values = np.array(row.split(), np.float64)
        except ValueError:
            values = np.empty(0)
        if values.size != 12 or not np.isfinite(values).all():
            raise UserError(f"{path}, line {number}: not 12 numbers; fetch the odometry poses again")
        poses.append(_square(values.reshape(3, 4)))
    if not poses:
        raise UserError(f"{path}: no poses in it; fetch the odometry poses again")
    return np.stack(poses)


def _matrix(path: Path, pose: object) -> np.ndarray:
    """A pose of an index file; raises `UserError` unless it is (3, 4) or (4, 4) and finite."""
    try:
        matrix = np.asarray(pose, np.float64)
    except (TypeError, ValueError, OverflowError) as fault:
        raise UserError(f"{path}: a pose is no matrix of numbers ({fault}); {rebuild(path)}") from fault
    if matrix.shape not in ((3, 4), (4, 4)) or not np.isfinite(matrix).all():
        raise UserError(
            f"{path}: a pose of shape {matrix.shape} or with values that are not finite, expected (3, 4); "
            f"{rebuild(path)}"
        )
    return matrix


def _square(pose: np.ndarray) -> np.ndarray:
    return np.vstack([pose[:3], [0.0, 0.0, 0.0, 1.0]])


def _place(frame: Frame, sequence: str) -> int:
    """Line of the pose file that belongs to a frame."""
    recording = SEQUENCES.get(sequence)
    return frame.number - recording.first if recording and recording.drive == frame.drive else frame.number


def _with_pose(sample: Sample, poses: np.ndarray, place: int, path: Path) -> Sample:
    if not 0 <= place < len(poses):
        raise UserError(f"{path}: {len(poses)} poses, none for {sample.name}; use the poses of this sequence")
    return Sample(sample.name, sample.images, sample.intrinsics, pose=poses[place])


def _whole_sequence(files: KittiFiles, sequence: str) -> list[Frame]:
    recording = SEQUENCES[sequence]
    frames = [Frame(sequence, number) for number in range(recording.last - recording.first + 1)]
    if not files.image(frames[0]):
        raise UserError(
            f"{files.root}: no images of odometry sequence {sequence}; put them into "
            f"sequences/{sequence}/image_2 or fetch the drive {recording.drive}"
        )
    return frames


def _one_run(path: Path, frames: list[Frame], remedy: str) -> list[Frame]:
    """The frames; raises `UserError` unless they follow each other, for a pose is compared with that of the next."""
    for first, second in pairwise(frames):
        before = raw_frame(first)
        if raw_frame(second) != replace(before, number=before.number + 1):
            raise UserError(
                f"{path}: {second.name} follows {first.name}, but poses need the frames of one drive and camera "
                f"without gaps; {remedy}"
            )
    return frames


def _with_neighbours(files: KittiFiles, frames: list[Frame]) -> list[Frame]:
    """Leaves out the first and the last frame where their drive begins or ends with them."""

    def is_there(frame: Frame, offset: int) -> bool:
        number = frame.number + offset
        return number >= 0 and bool(files.image(Frame(frame.drive, number, frame.camera)))

    first, last = frames[0], frames[-1]
    kept = frames[0 if is_there(first, -1) else 1 : None if is_there(last, 1) else -1]
    if not kept:
        raise UserError(
            f"{files.root}: {first.name} to {last.name} hold no frame with one before and one after it; poses need "
            "runs of frames"
        )
    return kept


def _with_next(files: KittiFiles, frames: list[Frame], has_pose: Callable[[Frame], bool]) -> list[Frame]:
    """Adds the frame after the last one where its drive goes on; raises `UserError` where they make no pair."""
    last = frames[-1]
    after = Frame(last.drive, last.number + 1, last.camera)
    frames = [*frames, after] if files.image(after) and has_pose(after) else frames
    if len(frames) < 2:
        raise UserError(f"{files.root}: {last.name} is a single frame; poses need runs of frames")
    return frames


def _from_index(path: Path, request: Request, files: KittiFiles, parameters: Parameters) -> list[Sample]:
    split = read_index(path, ("color", "poses"))
    basic = read_index(on_disk(files.root / "basic_files.json"), ("color",))
    if not {"color", "poses"} <= {*split}:
        raise UserError(
            f"{path}: no images or no poses in it; unpack the odometry poses into kitti/poses, then {rebuild(path)}"
        )
    offsets = (0,) if request.ends else (0, -1, 1)
    found = resolve_index(split, basic, load=("color", "poses"), video=("color",), frames=offsets)
    stored = found.get(("color", 0, -1), [])
    remedy = f"fetch what is between them, then {rebuild(path)}"
    frames = _one_run(path, [_frame(path, each) for each in stored], remedy)
    after = [*stored[1:], *stored[-1:]] if request.ends else found.get(("color", 1, -1), [])
    missing, samples = Missing(request), []
    for frame, pose, here, there in zip(frames, found.get(("poses", 0, -1), ()), stored, after, strict=True):
        images = indexed_images(files, {0: here, 1: there}, missing)
        samples.append(Sample(frame.name, images, parameters.intrinsics, pose=_square(_matrix(path, pose))))
    missing.check(path, REMEDY, len(samples))
    return samples


def _frame(path: Path, stored: str) -> Frame:
    """The frame that an image of an index file is; raises `UserError` where its path does not tell."""
    frame = parse_image_path(stored)
    if frame is None:
        raise UserError(f"{path}: {stored[:80]!r} is no image of a KITTI drive; {rebuild(path)}")
    return frame
