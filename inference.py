"""Depth and segmentation of images, folders, videos and cameras; see ``python inference.py --help``."""

from __future__ import annotations

import itertools
import logging
import math
import os
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from errors import UserError
from methods import METHODS

if TYPE_CHECKING:
    import numpy as np

    from visual.camera import Camera
    from visual.ranges import Common, Smoothed
    from visual.results import Found, Job, ResultFolder
    from visual.video import FrameReader

log = logging.getLogger(__name__)

VIDEO_SUFFIX = ".mp4"
OLD_VIDEO = "video in MPEG-4, which browsers do not play, at a constant rate ('pip install av' lets it be H.264)"
TASKS = ("depth", "segmentation")  # that are wanted of a network, as far as it knows them
BATCH = {"cuda": 8}  # images that pass the network at once; on a CPU one by one is as fast
MOST_THREADS = 16  # that decode, and as many that write
PARTLY_FAILED = 3
COPY = "give a whole copy of it, or leave it out"  # of a photo, which nobody can fetch


class Predictor:
    """The network of a checkpoint as a function of uint8 images.

    files:    that hold it, () where none is known
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
        self.files = build.files
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
        self.batch = half = len(views) // 2  # the first half may make it smaller
        return [*self(views[:half]), *self(views[half:])]

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
    from visual.inputs import asked_inputs, is_camera

    inputs = asked_inputs(args, runs, _classes_fault(args))
    from visual.pipeline import complain  # with torch, which mistakes until here need not wait for
    from visual.plan import build_outputs, without_done

    outputs, asked, begun = build_outputs(args, inputs, VIDEO_SUFFIX), inputs, time.perf_counter()
    if args.skip_existing:
        inputs = without_done(inputs, outputs, VIDEO_SUFFIX)
    for sentence in inputs.left_out:
        log.info("%s", sentence)
    if args.frame_step > 1 and not asked.videos:
        log.warning("--frame-step %d: without effect, no videos are among the inputs", args.frame_step)
    for sentence in inputs.missing:
        complain(f"{sentence}; correct the list")
    if not (inputs.images or inputs.videos):
        log.info("nothing is left to do")
        return _code(len(inputs.missing), written=True)
    from methods.scaling import scaled

    predictor = Predictor(args)
    outputs = scaled(args, outputs, predictor.model, predictor.files)
    _make(outputs.folder)
    codes = []
    if inputs.images:
        common = look_at(asked.images, predictor, outputs) if args.range == () else None
        failed = run_images(inputs.images, predictor, outputs, common)
        codes.append(_code(failed, written=failed < len(inputs.images)))
    for source, name in sorted(inputs.videos.items(), key=lambda item: is_camera(item[0])):
        run = _run_camera if is_camera(source) else _run_video
        codes.append(run(source, name, predictor, outputs, args))
    code = codes[0] if len({*codes}) == 1 else max(PARTLY_FAILED, *codes)
    code = code or _code(len(inputs.missing), written=True)
    if code != harness.USER_ERROR or outputs.said.total():
        _report(predictor, outputs, time.perf_counter() - begun)
    return code


def _code(failed: int, written: bool) -> int:
    """Exit code after so many failures; where nothing became whole, it is that of a mistake."""
    return 0 if not failed else PARTLY_FAILED if written else harness.USER_ERROR


def _report(predictor: Predictor, outputs: ResultFolder, seconds: float) -> None:
    """Say what was written, where, in which unit, and how fast."""
    if said := outputs.report():
        print(f"Wrote to {outputs.folder}: {said}, in {seconds:.1f} s")
    if scaled := getattr(outputs.scale, "report", str)():
        print(scaled)
    print(predictor.summary())


def look_at(names: dict[Path, str], predictor: Predictor, outputs: ResultFolder) -> Common | None:
    """What the pictures of several images have in common, those that are there already too; None where each is alone.

    Inverse depth up to scale and shift of one image has nothing to do with that of another.
    """
    from dataloader.files import read_image
    from storage.progress import Progress
    from visual.ranges import Common, spread
    from visual.results import Job
    from visual.scale import trial

    if len(names) < 2 or "picture" not in outputs.save:
        return None
    common, scale = Common(), trial(outputs.scale)
    some = spread(names)
    for path in Progress(some, "images", "a look at some", len(some)):
        try:
            image = read_image(path)
            view = predictor.fit(image)
            (found,) = predictor([view.pixels])
            if found.known == "up to scale and shift":
                return None
            common.keep(path, found)
            job = Job(names[path], image.shape[:2], view, path)
            found = scale(job, found.cut(view.inside, view.pixels.shape[:2]))
            found.require_finite()
            common.highest = max(common.highest, float(found.inv_depth.max()))
        except (UserError, OSError):  # it is told when its turn comes
            continue
    log.info("one range of colours for all %d pictures; --range each gives every picture its own", len(names))
    return common


def run_images(
    names: dict[Path, str], predictor: Predictor, outputs: ResultFolder, common: Common | None = None
) -> int:
    """Write what is asked for of every image, named as told; returns how many failed, each of them told on stderr."""
    from dataloader.files import read_image
    from visual.pipeline import pipeline
    from visual.ranges import Common
    from visual.results import Job

    told: list[str] = []  # by several threads, which may add to a list and not count
    common = common or Common()

    def decode(path: Path) -> Job:
        image = read_image(path, remedy=COPY)
        told.append(predictor.fit.advice(*image.shape[:2]))
        return Job(names[path], image.shape[:2], predictor.fit(image), path, common.found.pop(path, None))

    def write(job: Job, found: Found) -> None:
        outputs.write(job, found, common.highest)

    threads = min(os.cpu_count() or 1, MOST_THREADS)
    failed = pipeline(names, decode, predictor, outputs, write, threads=threads, total=len(names), what="images")
    advice = Counter(filter(None, told))
    for sentence, count in advice.most_common(1):
        others = advice.total() - count
        log.warning("%s%s", sentence, f" (and so are {others} of other sizes)" if others else "")
    return failed


def _run_video(source: Path, name: str, predictor: Predictor, outputs: ResultFolder, args: Namespace) -> int:
    """Write an MP4 of pictures; returns the exit code, which tells whether the whole video could be read.

    A look at some frames spread over all of it tells where colours begin, and a factor that is found in images, which
    is the median over these frames.
    """
    from storage.progress import Progress
    from visual.pipeline import complain
    from visual.ranges import LOOKED_AT, Smoothed
    from visual.results import Job
    from visual.scale import steady
    from visual.video import FrameReader, spread_frames

    try:
        reader = FrameReader(source, args.frame_step)
        first = []
        for frame in Progress(spread_frames(source, LOOKED_AT), "frames", "a look at some"):
            view = predictor.fit(frame)
            (found,) = predictor([view.pixels])
            first.append((Job(name, frame.shape[:2], view, source), found.cut(view.inside, view.pixels.shape[:2])))
        if not first:
            raise UserError(f"{source}: no frame of this video can be decoded; convert it to MP4")
        outputs.require(first[0][1])
        outputs = replace(outputs, scale=steady(outputs.scale, first))
        largest = Smoothed(float(outputs.scale(job, found).inv_depth.max()) for job, found in first)
        return _run_film(reader, name, predictor, outputs, largest if args.range == () else None)
    except UserError as error:
        complain(str(error))
        return harness.USER_ERROR


def _run_camera(source: Path, name: str, predictor: Predictor, outputs: ResultFolder, args: Namespace) -> int:
    """Write an MP4 of what a camera sees until a signal comes; returns the exit code."""
    from engine.stopping import StopRequest
    from visual.camera import Camera
    from visual.pipeline import complain
    from visual.ranges import Smoothed

    with StopRequest() as stop:
        try:
            camera = Camera(source, lambda: stop.code, args.frame_step)
            log.info("%s: until Ctrl-C", source)
            code = _run_film(camera, name, predictor, outputs, Smoothed() if args.range == () else None)
        except UserError as error:
            complain(str(error))
            code = harness.USER_ERROR
        return stop.code or code


def _run_film(
    reader: FrameReader | Camera, name: str, predictor: Predictor, outputs: ResultFolder, largest: Smoothed | None
) -> int:
    """Write an MP4 of pictures of all frames; returns the exit code."""
    from visual.pipeline import complain, pipeline
    from visual.results import Job, frame_name
    from visual.video import VideoWriter

    target, frames, written = outputs.folder / f"{name}{VIDEO_SUFFIX}", iter(reader.frames()), False
    place = None if reader.live else reader.path  # beside which a lens may be written
    target.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(target, reader.rate, live=reader.live) as writer:

        def decode(_: int) -> Job | None:
            frame = next(frames, None)
            if frame is None:
                return None
            view = predictor.fit(frame.pixels)
            return Job(frame_name(name, frame.number), frame.pixels.shape[:2], view, place, seconds=frame.seconds)

        def write(job: Job, found: Found) -> None:
            nonlocal written
            found.require_finite()
            found = outputs.scale(job, found)
            if "picture" in outputs.save:
                maximum = largest(float(found.inv_depth.max()), job.seconds) if largest else 0.0
                writer.write(outputs.draw(job, found, maximum), job.seconds)
            outputs.write_arrays(job, found, outputs.kinds(found))
            written = True

        # One thread on either side keeps the frames in order.
        total = math.ceil(reader.total / reader.step)
        failed = pipeline(itertools.count(), decode, predictor, outputs, write, threads=1, total=total, what="frames")
    if written and "picture" in outputs.save:
        outputs.said["video" if writer.modern else OLD_VIDEO] += 1
    if fault := reader.fault():
        complain(fault)
    return _code(failed + bool(fault), written)


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
