"""KITTI raw drives: samples from published index files or from text lists."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from errors import UserError

from ..index import Category, Index, read_index, rebuild, resolve_index, truth_by_image
from ..listing import on_disk
from ..lists import Frame, fetch_list, parse_image_path, read_list
from ..missing import Missing
from ..parameters import Parameters, read_parameters
from ..samples import DepthSource, Request, Sample
from .kitti_eigen import eigen_test_frames, eigen_train_frames
from .kitti_files import KittiFiles

log = logging.getLogger(__name__)

LIST_NAMES = {"train": "train_files.txt", "validation": "val_files.txt", "test": "test_files.txt"}
CAMERA_NUMBERS = {"left": 2, "right": 3}
BORROWED = {("zhou", "test"): "eigen", ("eigen_benchmark", "test"): "eigen", ("eigen_full", "train"): "eigen"}
"""Sets that circulate under another name as well: Zhou's test set is Eigen's, that of the benchmark those of its frames
that have an improved map; eigen_full is what Eigen's split trains on, of which Zhou took a part."""
KNOWN_FRAMES = {("eigen", "test"): eigen_test_frames, ("eigen_benchmark", "test"): eigen_test_frames}
"""Lists that are known without a file."""
FROM_DRIVES = ("eigen_full", "train")
"""What is made from the drives on disk where there is no list."""
LIST_REMEDY = "fetch them, index what is there with python -m dataloader.prepare index kitti"
INDEX_REMEDY = "fetch them, or, for what is there, rebuild it with python -m dataloader.prepare index kitti --overwrite"


def find_split(request: Request) -> Path | None:
    """The index file or text list of a KITTI loader; index files go first. None where there is neither."""
    spec = request.spec
    names = [spec.split]
    if (spec.split, spec.part) in BORROWED:
        names.append(BORROWED[spec.split, spec.part])
    for name in names:
        folder = request.dataset_dir / f"kitti_{name}_split"
        text = LIST_NAMES[spec.part]
        for path in map(on_disk, (folder / f"{spec.part}.json", folder / text, folder / "splits" / text)):
            if path.is_file():
                return path
    return None


def kitti_samples(request: Request) -> list[Sample]:
    """Samples of a KITTI depth loader; `depth` is None where a frame has no ground truth.

    Training makes do with the left camera where a drive has no folder for the right one, and logs it.

    Raises:
        UserError: when the folder, the split, an image or a neighbour image is missing, or an index is damaged.
    """
    files = KittiFiles(request.dataset_dir, request.cache_folder)
    path = find_split(request)
    parameters = read_parameters(files.root, "kitti")
    known = KNOWN_FRAMES.get((request.spec.split, request.spec.part))
    if path is None and known is not None:
        frames = _of_camera_asked(request, known())
        remedy = f"fetch them with python -m dataloader.prepare kitti --split eigen --out {request.dataset_dir}"
        return from_frames(request, files.root, frames, files, parameters, remedy)
    if path is None and (request.spec.split, request.spec.part) == FROM_DRIVES:
        frames = _tell_drives(request, eigen_train_frames(files))
        return from_frames(request, files.root, frames, files, parameters)
    if path is None:
        folder = request.dataset_dir / f"kitti_{request.spec.split}_split"
        raise UserError(
            f"{folder}: neither {request.spec.part}.json nor {LIST_NAMES[request.spec.part]} there; "
            f"{fetch_list(folder / LIST_NAMES[request.spec.part])}"
        )
    if path.suffix.lower() == ".json":
        samples = _from_index(request, path, files, parameters)
        if not samples:
            raise UserError(
                f"{path}: no frame in it that this loader can use; fetch its frames with their neighbours, then "
                f"{rebuild(path)}"
            )
        return samples
    frames = read_list(path)
    if request.spec.training:
        frames = _with_camera(request, path, frames, files)
        if (request.spec.split, request.spec.part) == FROM_DRIVES:
            frames = _inside_drives(request, path, frames, files)
    else:
        frames = _of_camera_asked(request, frames)
    return from_frames(request, path, frames, files, parameters)


def _tell_drives(request: Request, frames: list[Frame]) -> list[Frame]:
    """The frames, after the console was told where they come from; raises `UserError` where there are none."""
    folder = request.dataset_dir / f"kitti_{request.spec.split}_split"
    remedy = fetch_list(folder / LIST_NAMES[request.spec.part])
    if not frames:
        raise UserError(
            f"{request.dataset_dir}: no {folder.name}/{LIST_NAMES[request.spec.part]}, and no drive in kitti/ that is "
            f"not part of the Eigen test set and has three frames; {remedy}"
        )
    log.info(
        "  - %s: there is no %s, so its frames are all %d of the %d drives on disk that the Eigen test set has nothing "
        "of, but the first and the last of each; the published list has 45200: %s",
        request.spec.name,
        folder,
        len(frames),
        len({frame.drive for frame in frames}),
        remedy,
    )
    return frames


def _inside_drives(request: Request, where: Path, frames: list[Frame], files: KittiFiles) -> list[Frame]:
    """Leaves out frames with which a drive begins or ends; the list is one for stereo, which has no use for others."""
    last = {drive: files.last_number(*drive) for drive in {(frame.drive, frame.camera) for frame in frames}}
    kept = [frame for frame in frames if 0 < frame.number != last[frame.drive, frame.camera]]
    if not kept:
        raise UserError(f"{where}: none of its frames has one before and one after it on disk; fetch their drives")
    if len(kept) < len(frames):
        log.info(
            "  - %s: %d frames left out, with which their drives begin or end",
            request.spec.name,
            len(frames) - len(kept),
        )
    return kept


def _of_camera_asked(request: Request, frames: list[Frame]) -> list[Frame]:
    """Frames of the camera that is to be judged, each once."""
    if request.camera == "protocol":
        return frames
    camera = CAMERA_NUMBERS[request.camera]
    return list(dict.fromkeys(Frame(frame.drive, frame.number, camera) for frame in frames))


def _with_camera(request: Request, where: Path, frames: list[Frame], files: KittiFiles) -> list[Frame]:
    """Leaves out frames of right cameras that were never fetched."""
    kept = [frame for frame in frames if frame.camera == 2 or not files.left_only(frame.drive)]
    _tell_left_only(request, where, len(frames) - len(kept), len(kept))
    return kept


def _tell_left_only(request: Request, where: Path, count: int, left: int) -> None:
    if count and not left:
        raise UserError(
            f"{where}: all {count} frames are of right cameras, for which there is no folder image_03; "
            "fetch it, or list left frames"
        )
    if count:
        log.info("  - %s: %d right images left out, their drives have no folder image_03", request.spec.name, count)


def from_frames(
    request: Request,
    where: Path,
    frames: Iterable[Frame],
    files: KittiFiles,
    parameters: Parameters,
    remedy: str = LIST_REMEDY,
) -> list[Sample]:
    """One sample per listed frame that has its images, in order; `where` and `remedy` are named when some are missing.

    Raises:
        UserError: with the number of missing images and the first of them.
    """
    missing, samples = Missing(request), []
    for frame in frames:
        wanted = {offset: Frame(frame.drive, frame.number + offset, frame.camera) for offset in request.spec.frames}
        images = {offset: files.image(each) if each.number >= 0 else "" for offset, each in wanted.items()}
        if missing.note(files.expected_image(wanted[offset]) for offset, path in images.items() if not path):
            continue
        depth = None
        if request.spec.purpose == "depth" and request.spec.needs_truth:
            depth = files.depth(frame, request.depth_gt, parameters.depth_mode)
        samples.append(Sample(frame.name, images, parameters.intrinsics, depth=depth, measured=parameters.measured))
    missing.check(where, remedy, len(samples))
    return samples


def _from_index(request: Request, path: Path, files: KittiFiles, parameters: Parameters) -> list[Sample]:
    """Samples of an index file that have their images, one camera after the other."""
    cameras = request.cameras
    truth = "depth_improved" if request.depth_gt == "improved" else "depth"
    truth += cameras[0].removeprefix("color")  # that of the right camera is called like its images
    split = read_index(path, (*cameras, truth))
    if not split.keys() & {*cameras}:
        raise UserError(f"{path}: no images of {' or '.join(cameras)} in it; leave --depth-camera out or rebuild it")
    basic = read_index(on_disk(files.root / "basic_files.json"), cameras) if request.spec.video else {}
    left_only = _remove_left_only(split, files) if request.spec.training else 0
    missing, samples = Missing(request), []
    for camera in cameras:
        samples += _of_camera(request, (split, basic), (camera, truth), files, parameters, missing)
    missing.check(path, INDEX_REMEDY, len(samples))
    _tell_left_only(request, path, left_only, len(samples))
    return samples


def _remove_left_only(split: Index, files: KittiFiles) -> int:
    """Takes right images that were never fetched out of an index; returns their number."""
    if "color_right" not in split:
        return 0
    items, positions = split["color_right"].items, split["color_right"].positions
    frames = [parse_image_path(item) for item in items]
    rows = [row for row, frame in enumerate(frames) if frame is None or not files.left_only(frame.drive)]
    split["color_right"] = Category([items[row] for row in rows], [positions[row] for row in rows])
    return len(items) - len(rows)


def _of_camera(
    request: Request,
    indices: tuple[Index, Index],
    categories: tuple[str, str],
    files: KittiFiles,
    parameters: Parameters,
    missing: Missing,
) -> Iterator[Sample]:
    (camera, truth), offsets = categories, request.spec.frames
    found = resolve_index(*indices, load=[camera], video=[camera] if request.spec.video else (), frames=offsets)
    # A frame that an index has no map of is judged as in a list: by what is on disk, or told to be without truth.
    stored = truth_by_image(indices[0], camera, truth) if request.spec.needs_truth else {}
    for row, path in enumerate(found.get((camera, 0, -1), ())):
        images = indexed_images(files, {offset: found[camera, offset, -1][row] for offset in offsets}, missing)
        if not images:
            continue
        frame = parse_image_path(path)
        depth = None
        if request.spec.needs_truth:
            depth = _indexed_depth(request, files, parameters, frame, stored.get(path, ""))
        name = frame.name if frame else path
        yield Sample(name, images, parameters.intrinsics, depth=depth, measured=parameters.measured)


def indexed_images(files: KittiFiles, stored: dict[int, str], missing: Missing) -> dict[int, str]:
    """Where the indexed images of one sample lie, with or without the folder Raw_data, as PNG or JPG.

    Returns: paths by frame offset; nothing where one does not exist, which is noted in `missing`.
    """
    find = files.listing.find_image
    images = {offset: find(path) or find(path.removeprefix("Raw_data/")) for offset, path in stored.items()}
    lacking = missing.note(f"{files.root}/{stored[offset]}" for offset, image in images.items() if not image)
    return {} if lacking else images


def _indexed_depth(
    request: Request, files: KittiFiles, parameters: Parameters, frame: Frame | None, stored: str
) -> DepthSource | None:
    path = files.listing.file(stored)
    if path and request.depth_gt != "scanner":  # stored maps hold depth along the axis of the camera
        return DepthSource("map", path, parameters.depth_mode)
    return files.depth(frame, request.depth_gt, parameters.depth_mode) if frame else None
