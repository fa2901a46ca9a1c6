"""Depth and segmentation of images, folders of images and videos; see ``python inference.py --help``."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from errors import UserError
from methods import METHODS

if TYPE_CHECKING:
    import numpy as np

    from visual.inputs import Inputs
    from visual.results import Found, Job, ResultFolder
    from visual.scale import Scale

log = logging.getLogger(__name__)

VIDEO_SUFFIX = ".mp4"
TASKS = ("depth", "segmentation")  # that are wanted of a network, as far as it knows them
BATCH = {"cuda": 8}  # images that pass the network at once; on a CPU one by one is as fast
MOST_THREADS = 16  # that decode, and as many that write
RANGE_FRAMES = 16  # frames of a video that fix the range of its disparity colours
SECONDS_BETWEEN_LINES = 10  # of progress in a log
PARTLY_FAILED = 3
COPY = "give a whole copy of it, or leave it out"  # of a photo, which nobody can fetch
FULL = (errno.ENOSPC, errno.EDQUOT)  # a disk: no later image would fit either


class Predictor:
    """The network of a checkpoint as a function of uint8 images.

    fit:      how images come before it
    batch:    images that pass the network at once; becomes less where memory is short
    seconds:  time per image of every full batch
    refining: time of the refinement in it
    """

    def __init__(self, args: Namespace):
        import state_manager
        from engine.device import autocast, compile_parts, prepare_torch
        from methods.refinement import open_refinement
        from visual.plan import build_fit

        build = state_manager.find_network(args, "depth")
        if fault := _classes_fault(args):
            raise UserError(fault)
        refine = open_refinement(args, "inference")
        self.device = prepare_torch(args)
        self.precision = autocast(args, self.device)
        network = build(self.device)
        if args.sys_compile:
            compile_parts(network, self.device)
        self.model = refine(network).to(self.device)
        self.fit = build_fit(args, self.model)
        self.batch = BATCH.get(self.device.type, 1)
        self.seconds: list[float] = []
        self.refining: list[float] = []

    def __call__(self, views: Sequence[np.ndarray]) -> list[Found]:
        """Images (h, w, 3) uint8 RGB as `fit` gives them -> what the network sees in them.

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
        layers = {name: layer.values[:, 0].cpu().numpy() for name, layer in prediction.layers.items()}
        return [
            Found(one, depth.inverse, classes, depth.known, {name: layer[place] for name, layer in layers.items()})
            for place, (one, classes) in enumerate(zip(values, ids, strict=False))
        ]

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
    runs = args.checkpoint_dir or os.environ.get("IFN_DIR_CHECKPOINT", "")
    if args.list_models:
        from storage.shelf import listing

        print(listing(runs))
        return 0
    inputs = _inputs(args, runs)
    from visual.plan import build_outputs, without_done  # with torch, which mistakes until here need not wait for

    outputs = build_outputs(args, inputs, VIDEO_SUFFIX)
    if args.skip_existing:
        inputs = without_done(inputs, outputs, VIDEO_SUFFIX)
    for sentence in inputs.left_out:
        log.info("%s", sentence)
    for sentence in inputs.missing:
        _complain(f"{sentence}; correct the list")
    if not (inputs.images or inputs.videos):
        log.info("nothing is left to do")
        return _code(len(inputs.missing), written=True)
    from methods.scaling import scaled

    predictor = Predictor(args)
    outputs = scaled(args, outputs, predictor.model)
    _make(outputs.folder)
    codes = []
    if inputs.images:
        failed = run_images(inputs.images, predictor, outputs)
        codes.append(_code(failed, written=failed < len(inputs.images)))
    for source, name in inputs.videos.items():
        codes.append(_run_video(source, name, predictor, outputs))
    code = codes[0] if len({*codes}) == 1 else PARTLY_FAILED
    code = code or _code(len(inputs.missing), written=True)
    if code != harness.USER_ERROR or outputs.said.total():
        _report(predictor, outputs)
    return code


def _code(failed: int, written: bool) -> int:
    """Exit code after so many failures; where nothing became whole, it is that of a mistake."""
    return 0 if not failed else PARTLY_FAILED if written else harness.USER_ERROR


def _report(predictor: Predictor, outputs: ResultFolder) -> None:
    """Say what was written, where, in which unit, and how fast."""
    if said := outputs.report():
        print(f"Wrote to {outputs.folder}: {said}")
    if scaled := getattr(outputs.scale, "report", str)():
        print(scaled)
    print(predictor.summary())


def run_images(names: dict[Path, str], predictor: Predictor, outputs: ResultFolder) -> int:
    """Write what is asked for of every image, named as told; returns how many failed, each of them told on stderr."""
    from dataloader.files import read_image
    from visual.results import Job

    advice: set[str] = set()

    def decode(path: Path) -> Job:
        image = read_image(path, remedy=COPY)
        advice.add(predictor.fit.advice(*image.shape[:2]))
        return Job(names[path], image.shape[:2], predictor.fit(image), path)

    threads = min(os.cpu_count() or 1, MOST_THREADS)
    failed = _pipeline(names, decode, predictor, outputs, outputs.write, threads=threads, total=len(names))
    for sentence in sorted(advice - {""})[:1]:
        log.warning("%s", sentence)
    return failed


def _run_video(source: Path, name: str, predictor: Predictor, outputs: ResultFolder) -> int:
    """Write an MP4 of pictures; returns the exit code, which tells whether the whole video could be read.

    The brightest colour stands for the largest disparity in a few frames spread over the whole video, so that
    colours do not flicker from frame to frame; what exceeds it later stays at the brightest. A factor that is found
    in images is the median over these frames.
    """
    from visual.results import Job
    from visual.video import FrameReader, VideoWriter, spread_frames

    target, written = outputs.folder / f"{name}{VIDEO_SUFFIX}", False
    try:
        reader = FrameReader(source)
        first = []
        for frame in spread_frames(source, RANGE_FRAMES):
            view = predictor.fit(frame)
            (found,) = predictor([view.pixels])
            first.append((Job(name, frame.shape[:2], view), found.cut(view.inside, view.pixels.shape[:2])))
        if not first:
            raise UserError(f"{source}: no frame of this video can be decoded; convert it to MP4")
        outputs.require(first[0][1])
        scale = _steady(outputs.scale, first)
        outputs = replace(outputs, scale=scale)
        highest = max(float(scale(job, found).inv_depth.max()) for job, found in first)
        target.parent.mkdir(parents=True, exist_ok=True)
        frames = iter(reader)
        with VideoWriter(target, reader.rate) as writer:

            def decode(_: int) -> Job | None:
                number, frame = next(frames, (0, None))
                if frame is None:
                    return None
                return Job(f"{name}_{number:06d}", frame.shape[:2], predictor.fit(frame))

            def write(job: Job, found: Found) -> None:
                nonlocal written
                found.require_finite()
                found = outputs.scale(job, found)
                if "picture" in outputs.save:
                    writer.write(outputs.draw(job, found, highest))
                outputs.write_arrays(job, found)
                written = True

            # One thread on either side keeps the frames in order.
            failed = _pipeline(itertools.count(), decode, predictor, outputs, write, threads=1, total=reader.total)
        if written and "picture" in outputs.save:
            outputs.said["video"] += 1
    except UserError as error:
        _complain(str(error))
        return harness.USER_ERROR
    if fault := reader.fault():
        _complain(fault)
    return _code(failed + bool(fault), written)


def _steady(scale: Scale | Callable, first: list[tuple[Job, Found]]) -> Scale | Callable:
    """A scale that is the same for all frames of a video: of one that looks at images, the median over some frames."""
    from visual.scale import CameraHeight

    if not isinstance(scale, CameraHeight):
        return scale
    factors = []
    for job, found in first:
        with contextlib.suppress(UserError):  # some frames may show no ground
            factors.append(scale.measure(job, found))
    if not factors:
        raise UserError(f"{first[0][0].name}: no ground plane can be seen in it; give --depth-scale a number")
    return replace(scale, fixed=statistics.median(factors))


def _pipeline(
    items: Iterable,
    decode: Callable[[Any], Job | None],
    predictor: Predictor,
    outputs: ResultFolder,
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
        pause = 0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES
        for _, future in tqdm(waiting, total=total or None, unit="image", file=sys.stderr, mininterval=pause):
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
            for job, found in zip(batch, predictor([job.view.pixels for job in batch]), strict=True):
                outputs.require(found)
                yield job, found.cut(job.view.inside, job.view.pixels.shape[:2])

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


def _inputs(args: Namespace, runs: str) -> Inputs:
    """What ``--image-path`` names, when all that is needed is there.

    Raises:
        UserError: with all that is missing at once.
    """
    from storage import shelf
    from visual.inputs import Inputs, find_inputs
    from visual.lens import camera_fault

    faults, inputs = [], Inputs({}, {})
    if not args.model_path:
        faults.append(f"--model-path: not given; {shelf.offer(runs, args.image_path[0] if args.image_path else '')}")
    elif fault := shelf.missing(args.model_path):
        faults.append(fault)
    if not args.image_path:
        faults.append("--image-path: not given; give images, a folder of images or a video")
    try:
        inputs = find_inputs(args.image_path, args.recursive)
    except UserError as error:
        faults.append(str(error))
    if not args.output_path:
        faults.append("--output-path: not given; name a folder for what is written")
    if fault := _classes_fault(args):
        faults.append(fault)
    if fault := camera_fault(args.intrinsics, args.fov):
        faults.append(fault)
    if faults:
        raise UserError("; also ".join(faults))
    return inputs


def _classes_fault(args: Namespace) -> str:
    """What to say where classes are to be saved and the method knows none, as far as it is known yet; else ""."""
    if "seg" not in args.save or "segmentation" in METHODS[args.method].tasks:
        return ""
    return f"--save seg: a network of --method {args.method} knows no classes; leave it out"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output-path {folder}: cannot be made ({error.strerror}); name another folder") from None


if __name__ == "__main__":
    harness.main("inference", infer)
