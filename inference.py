"""Depth and segmentation of an image, a folder of images or a video; see ``python inference.py --help``."""

from __future__ import annotations

import errno
import itertools
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from errors import UserError, closest

if TYPE_CHECKING:
    import numpy as np

    from visual.results import Found, Job, ResultFolder

IMAGE_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jp2",
    ".bmp",
    ".dib",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
    ".tga",
)
VIDEO_SUFFIX = ".mp4"
TASKS = ("depth", "segmentation")  # that are wanted of a network, as far as it knows them
BATCH = {"cuda": 8}  # images that pass the network at once; on a CPU one by one is as fast
MOST_THREADS = 16  # that decode, and as many that write
RANGE_FRAMES = 16  # frames of a video that fix the range of its disparity colours
PARTLY_FAILED = 3
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk: no later image would fit either


class Predictor:
    """The network of a checkpoint as a function of uint8 images.

    size:     (height, width) of its input; () where it takes images at their own size
    batch:    images that pass the network at once; becomes less where memory is short
    seconds:  time per image of every full batch
    refining: time of the refinement in it
    """

    def __init__(self, args: Namespace):
        import state_manager
        from engine.device import autocast, prepare_torch
        from methods.refinement import open_refinement
        from perspective_resample.input_view import InputView

        build = state_manager.find_network(args, "depth")
        refine = open_refinement(args, "inference")
        self.device = prepare_torch(args)
        self.precision = autocast(args, self.device)
        self.model = refine(build(self.device)).to(self.device)
        resized = getattr(self.model, "view", InputView()).resized
        self.size = (args.inference_resize_height, args.inference_resize_width) if resized else ()
        self.batch = BATCH.get(self.device.type, 1)
        self.seconds: list[float] = []
        self.refining: list[float] = []

    def view(self, image: np.ndarray) -> np.ndarray:
        """Image (H, W, 3) uint8 as the network takes it."""
        if not self.size:
            return image
        return network_input(image, self.size, getattr(self.model, "input_filter", "bilinear"))

    def __call__(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Images (h, w, 3) uint8 RGB as `view` gives them -> what the network sees in them.

        Those of one size in a row go together. Those that do not fit into the memory of the GPU at once go in halves,
        and so do all later ones.
        """
        import numpy as np
        import torch

        if len({view.shape for view in views}) > 1:
            alike = itertools.groupby(views, lambda view: view.shape)
            return [found for _, group in alike for found in self([*group])]
        try:
            return self._found(np.stack(views))
        except torch.OutOfMemoryError:
            if len(views) == 1:
                raise
        self.batch = len(views) // 2
        return [*self(views[: self.batch]), *self(views[self.batch :])]

    def _found(self, views: np.ndarray) -> list[Found]:
        """One pass of images (B, h, w, 3) uint8."""
        import torch

        from visual.results import Found

        start = time.perf_counter()
        images = torch.from_numpy(views).to(self.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode(), self.precision():
            prediction = self.model.predict(images, TASKS)
        depth = prediction.depth
        values = depth.values[:, 0].cpu().numpy()
        ids = itertools.repeat(None)
        if prediction.logits is not None:
            ids = prediction.logits.argmax(1).to(torch.uint8).cpu().numpy()
        # The results are on the host, so nothing is still running that a clock would miss.
        if len(views) == self.batch:
            self.seconds.append((time.perf_counter() - start) / len(views))
            self.refining.append(getattr(self.model, "seconds", 0.0) / len(views))
        return [Found(one, depth.inverse, classes, depth.known) for one, classes in zip(values, ids, strict=False)]

    def summary(self) -> str:
        """Mean time of an image without the first batch, which also warms up."""
        if len(self.seconds) < 2:
            images = "image" if self.batch == 1 else f"{self.batch} images"
            return f"Mean forward time: needs a second batch, the first one ({images}) only warms up"
        part = f", {_mean(self.refining):.1f} ms of it patch refinement" if any(self.refining) else ""
        return f"Mean forward time: {_mean(self.seconds):.1f} ms{part}"


def _mean(seconds: list[float]) -> float:
    """Mean of all but the first, in milliseconds."""
    return sum(seconds[1:]) / (len(seconds) - 1) * 1000


def infer(args: Namespace) -> int:
    """Run one command; returns its exit code."""
    if args.list_models:
        from storage.shelf import listing

        print(listing(args.checkpoint_dir or os.environ.get("IFN_DIR_CHECKPOINT", "")))
        return 0
    source = _source(args)
    paths = _images_in(source) if source.is_dir() else [source]
    video = not source.is_dir() and _is_video(source)
    outputs = _outputs(args)
    if video:
        target = outputs.folder / f"{source.stem}{VIDEO_SUFFIX}"
        _protect([source], [target])
        predictor = Predictor(args)
        _make(outputs.folder)
        code = _run_video(source, target, predictor, outputs)
    else:
        names = output_names(paths)
        _protect(paths, [outputs.picture(name) for name in names.values()])
        predictor = Predictor(args)
        _make(outputs.folder)
        failed = run_images(names, predictor, outputs)
        code = harness.USER_ERROR if failed == len(names) else PARTLY_FAILED if failed else 0
    if code != harness.USER_ERROR:
        print(predictor.summary())
    return code


def output_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Names without extension, unique: the stem, with the extension added where several inputs share one (`a_png`)."""
    names = {path: path.stem for path in paths}
    short = set(names)
    while True:
        counts = Counter(names.values())
        clashing = {path for path in short if counts[names[path]] > 1}
        if not clashing:
            return names
        names |= {path: f"{path.stem}_{path.suffix[1:]}" for path in clashing}
        short -= clashing  # a lengthened name may meet another stem, which then gives way in the next round


def network_input(image: np.ndarray, size: tuple[int, int], kind: str = "bilinear") -> np.ndarray:
    """Image (H, W, 3) uint8 at (height, width) `size`, as Pillow resizes it (with antialiasing).

    kind: of the filter, ``bilinear`` or ``lanczos``
    """
    import numpy as np
    from PIL import Image

    height, width = size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling[kind.upper()])
    return np.array(resized)  # torch wants its own


def run_images(names: dict[Path, str], predictor: Predictor, outputs: ResultFolder) -> int:
    """Write a picture per image, named as told; returns how many failed, each of them told on stderr."""
    from dataloader.files import read_image
    from visual.results import Job

    def decode(path: Path) -> Job:
        image = read_image(path)
        return Job(names[path], image, predictor.view(image))

    threads = min(os.cpu_count() or 1, MOST_THREADS)
    return _pipeline(names, decode, predictor, outputs.write_picture, threads=threads, total=len(names))


def _run_video(source: Path, target: Path, predictor: Predictor, outputs: ResultFolder) -> int:
    """Write an MP4 of pictures; returns the exit code, which tells whether the whole video could be read.

    The brightest colour stands for the largest disparity in a few frames spread over the whole video, so that
    colours do not flicker from frame to frame; what exceeds it later stays at the brightest.
    """
    from visual.pictures import inference_picture
    from visual.results import Job
    from visual.video import FrameReader, VideoWriter, spread_frames

    try:
        reader = FrameReader(source)
        views = (predictor.view(frame) for frame in spread_frames(source, RANGE_FRAMES))
        maxima = [float(found.inv_depth.max()) for view in views for found in predictor([view])]
        if not maxima:
            raise UserError(f"{source}: no frame of this video can be decoded; convert it to MP4")
        frames = iter(reader)
        with VideoWriter(target, reader.rate) as writer:

            def decode(_: int) -> Job | None:
                number, frame = next(frames, (0, None))
                return frame if frame is None else Job(f"{source.stem}_{number:06d}", frame, predictor.view(frame))

            def write(job: Job, found: Found) -> None:
                found.require_finite()
                writer.write(inference_picture(job.image, found.inv_depth, found.ids, max(maxima)))
                outputs.write_arrays(job, found)

            # One thread on either side keeps the frames in order.
            failed = _pipeline(itertools.count(), decode, predictor, write, threads=1, total=reader.total)
    except UserError as error:
        _complain(str(error))
        return harness.USER_ERROR
    if fault := reader.fault():
        _complain(fault)
    return harness.USER_ERROR if failed else PARTLY_FAILED if fault else 0


def _pipeline(
    items: Iterable,
    decode: Callable[[Any], Job | None],
    predictor: Predictor,
    write: Callable[[Job, Found], None],
    *,
    threads: int,
    total: int,
) -> int:
    """Decode, predict and write with files handled beside the network; returns the number of failures.

    Order is kept, and the number of images in memory does not grow with theirs; a `decode` that returns None ends it.
    """
    from tqdm import tqdm

    from dataloader.ahead import started_ahead

    failed = 0
    ahead = threads + predictor.batch  # images decoded before, and pictures not yet written after, those in the network

    def decoded() -> Iterator[Job]:
        nonlocal failed
        waiting = started_ahead(readers, decode, items, ahead)
        for _, future in tqdm(waiting, total=total or None, unit="image", file=sys.stderr):
            try:
                job = future.result()
            except (UserError, OSError) as error:
                failed += 1
                _complain(str(error))
                continue
            if job is None:
                return
            yield job

    def predicted() -> Iterator[tuple[Job, Found]]:
        jobs = decoded()
        while batch := list(itertools.islice(jobs, predictor.batch)):
            yield from zip(batch, predictor([job.small for job in batch]), strict=True)

    with ThreadPoolExecutor(threads) as readers, ThreadPoolExecutor(threads) as writers:
        for (job, _), future in started_ahead(writers, lambda pair: write(*pair), predicted(), ahead):
            try:
                future.result()
            except UserError as error:
                failed += 1
                _complain(f"{job.name}: {error}")
            except (OSError, ValueError) as error:
                if getattr(error, "errno", None) in FULL:
                    raise
                failed += 1
                _complain(f"{job.name}: cannot be written ({error})")
    return failed


def _complain(sentence: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"error: {' '.join(sentence.split())}", file=sys.stderr)


def _is_video(path: Path) -> bool:
    from visual.video import SUFFIXES

    return path.suffix.lower() in SUFFIXES


def _source(args: Namespace) -> Path:
    """What ``--image-path`` names, when all that is needed is there.

    Raises:
        UserError: with all that is missing at once.
    """
    from storage import shelf
    from storage.catalogue import MODELS, is_name

    faults = []
    runs = args.checkpoint_dir or os.environ.get("IFN_DIR_CHECKPOINT", "")
    if not args.model_path:
        faults.append(f"--model-path: not given; {shelf.offer(runs, args.image_path)}")
    elif not (is_name(args.model_path) or os.path.exists(args.model_path)):
        faults.append(
            f"--model-path {args.model_path}: no such file or folder{closest(args.model_path, MODELS)}; give a "
            "checkpoint or a name of --list-models"
        )
    source = Path(args.image_path)
    if not args.image_path:
        faults.append("--image-path: not given; give an image, a folder of images or a video")
    elif not source.exists():
        faults.append(f"--image-path {source}: does not exist; give an image, a folder of images or a video")
    if not args.output_path:
        faults.append("--output-path: not given; name a folder for what is written")
    if faults:
        raise UserError("; also ".join(faults))
    return source


def _images_in(folder: Path) -> list[Path]:
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        raise UserError(
            f"--image-path {folder}: no image in this folder (subfolders are not searched); "
            f"known are {', '.join(IMAGE_SUFFIXES)}"
        )
    return paths


def _outputs(args: Namespace) -> ResultFolder:
    import cv2

    from visual.results import ResultFolder

    extension = args.output_format
    if not extension.startswith(".") or not cv2.haveImageWriter(f"picture{extension}"):
        raise UserError(f"--output-format {extension!r}: OpenCV writes no such files; give for example .jpg or .png")
    return ResultFolder(Path(args.output_path), extension, args.save_arrays)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output-path {folder}: cannot be made ({error.strerror}); name another folder") from None


def _protect(inputs: Iterable[Path], targets: Iterable[Path]) -> None:
    """Refuse to write over what is read."""
    known = {path.resolve() for path in inputs}
    for target in targets:
        if target.resolve() in known:
            raise UserError(f"{target}: is an input and would be overwritten; give another --output-path")


if __name__ == "__main__":
    harness.main("inference", infer)
