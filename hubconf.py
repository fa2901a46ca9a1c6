"""The door from Python: ``torch.hub.load(FOLDER, "depth", NAME, source="local")``, or ``from hubconf import depth``.

docs/python.md shows all of it. Importing this costs no torch: what needs it is imported at first use. A mistake is an
`errors.UserError`, whose sentence names options as the commands have them: ``--fit pad`` is ``fit="pad"`` here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    import numpy as np
    from PIL import Image
    from torch import nn

    from dataloader.loaders import EvaluationData
    from evaluation.callables import DepthOf
    from evaluation.comparison import Comparison
    from evaluation.depth import DepthResult
    from evaluation.interface import Predict
    from visual.result import Result

    Picture = str | pathlib.Path | np.ndarray | Image.Image
    """A file, an upright RGB array (H, W, 3), uint8 or float in [0, 1], also grey or with alpha, or a Pillow image."""

# Names of packages, as torch.hub wants them.
dependencies = ["torch", "torchvision", "numpy", "cv2", "PIL"]
_ROOT = str(pathlib.Path(__file__).resolve().parent)
if _ROOT not in sys.path[1:]:  # torch.hub takes its own entry, the first one, away again
    sys.path.append(_ROOT)


def depth(name_or_path: str | os.PathLike[str], method: str = "", device: str = "auto", **options: Any) -> Predictor:
    """A network that says depth.

    Args:
        name_or_path: a name of docs/models.md, a checkpoint folder or a weight file, as ``--model-path`` takes it.
        method: system it is of, where its file leaves that open.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        options: of inference.py that say how images come before the network and what its numbers mean, with
            underscores: ``fetch=True`` downloads what is missing, ``fit="pad"``, ``depth_scale=31.5``.

    Raises:
        UserError: when there is no such network, it is damaged or does not fit the options.
    """
    import arguments
    from errors import UserError
    from presets.inference import INPUTS
    from storage.wanted import fault_of_path
    from visual.lens import camera_fault

    idle = {"model_path", "list_models", "save", "save_arrays", "output_format", *(option.name for option in INPUTS)}
    if wrong := sorted(idle & {*options}):
        raise UserError(f"{wrong[0]}: says what inference.py reads or writes, and is no option here; leave it out")
    said = {"method": method} if method else {}
    said |= {name: _absolute(value) if name == "model_decoder_path" else value for name, value in options.items()}
    name = _absolute(name_or_path)
    args = arguments.parse("inference", [*_words({"model_path": name, "sys_device": device}), *_words(said)])
    if fault := fault_of_path(name, args.fetch) or camera_fault(args.intrinsics, args.fov):
        raise UserError(fault)
    return Predictor(args, name, {"sys_device": device, **said})


def evaluate(
    predictor: Predictor | DepthOf,
    loader: str,
    dataset_dir: str | os.PathLike[str] = "",
    known: str = "",
    **options: Any,
) -> DepthResult:
    """Judge depth on a data set, as eval_depth.py does; nothing is written but projected laser scans.

    Args:
        predictor: of `depth`, or any function of an image (H, W, 3) uint8 RGB that gives its depth (h, w).
        loader: one of docs/data.md, such as ``kitti_eigen_test``.
        dataset_dir: folder of the data sets; "" for the environment variable IFN_DIR_DATASET.
        known: what such a function gives: ``metres``; ``up to scale``: depth that is scaled by the medians; ``up to
            scale and shift``: inverse depth, to which a line is fitted.
        options: of eval_depth.py, with underscores: ``depth_gt="improved"``, ``depth_cap=50``.

    Returns: means in `metrics`, images in `rows`, how it was judged in `protocol`.

    Raises:
        UserError: when data or network cannot be used, or the protocol asks for what the network does not know.
    """
    import arguments
    import harness
    from errors import UserError

    said = {"depth_validation_loaders": loader, "dataset_dir": os.fspath(dataset_dir), **options}
    if not hasattr(predictor, "judge"):
        args = arguments.parse("eval_depth", _words({"method": "dpt", **said}))
        harness.require_folders(args, keeps=False)
        return _judged_function(args, predictor, known)
    if known:
        raise UserError(f"known {known!r}: a network of ours says itself what it knows; leave it out")
    return predictor.judge(**said)


def compare(
    predictors: Mapping[str, Any] | Sequence[Any],
    loader: str = "",
    dataset_dir: str | os.PathLike[str] = "",
    known: str = "",
    **options: Any,
) -> Comparison:
    """One table of several networks, judged alike.

    Args:
        predictors: by name, or in a list: predictors of `depth`, functions as `evaluate` takes them, and results of
            `evaluate`.
        loader: data set for those that are not judged yet.
        dataset_dir: as of `evaluate`.
        known: of the functions among them, as of `evaluate`.
        options: as of `evaluate`.

    Returns: the results by name; as text, Markdown or LaTeX a table.

    Raises:
        UserError: as `evaluate`, and when they were judged by different truth, window or range.
    """
    from evaluation.comparison import Comparison
    from evaluation.depth import DepthResult

    named = predictors if hasattr(predictors, "items") else _named(predictors)
    results = {}
    for name, each in named.items():
        if not isinstance(each, DepthResult):
            each = evaluate(each, loader, dataset_dir, "" if hasattr(each, "judge") else known, **options)
        results[name] = each
    return Comparison(results)


class Predictor:
    """A network as a function of images; several threads may call it.

    Attributes:
        name:    name or path it was opened by
        method:  the system it is of
        options: what was said about it
    """

    def __init__(self, args: Namespace, name: str, options: Mapping[str, Any]):
        import inference
        from methods.scaling import scaled
        from visual.plan import build_look
        from visual.results import ResultFolder

        with _own_randomness():
            self._network = inference.Predictor(args)
        self.name, self.method, self.options = name, args.method, dict(options)
        files = ResultFolder(pathlib.Path(), ".png", look=build_look(args), camera=(args.intrinsics, args.fov, ()))
        self._files = scaled(args, files, self.model, self._network.files)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Predictor({self.name!r}, method={self.method!r}, device={str(self._network.device)!r})"

    @property
    def model(self) -> nn.Module:
        """The network itself: ``model.predict(images (B, 3, H, W) in [0, 1], ("depth",))``."""
        return self._network.model

    def __call__(self, image: Picture | Sequence[Picture]) -> Result | list[Result]:
        """What the network sees in an image, or in each of a list of them.

        Raises:
            UserError: when a file cannot be read, or something is no image.
        """
        if isinstance(image, list | tuple):
            return [*self._results(enumerate(image), "image", self._network.batch)]
        return next(self._results([(0, image)], "image", 1))

    def stream(self, video: str | os.PathLike[str] | Iterable[Picture]) -> Iterator[Result]:
        """What the network sees in each frame of a video file, or of any frames as they come.

        Raises:
            UserError: at once when the file is no video; after its last whole frame where others are damaged.
        """
        if not isinstance(video, str | os.PathLike):
            return self._results(enumerate(video), "frame", 1)
        from visual.video import FrameReader

        return self._film(FrameReader(pathlib.Path(video)))

    def judge(self, **options: Any) -> DepthResult:
        """Judge the network as `evaluate` does, which see; all of it by options of eval_depth.py."""
        import arguments
        import harness

        own = {option.name for option in arguments.options_of("eval_depth")}
        kept = {name: value for name, value in self.options.items() if name in own}
        args = arguments.parse("eval_depth", _words({"model_load": self.name, **kept, **options}))
        harness.require_folders(args, "depth", keeps=False)
        return _judged_network(args)

    def _film(self, reader: Any) -> Iterator[Result]:
        from errors import UserError

        yield from self._results(reader, reader.path.stem, self._network.batch, reader.path)
        if fault := reader.fault():
            raise UserError(fault)

    def _results(
        self, images: Iterable[tuple[int, Picture]], stem: str, batch: int, film: pathlib.Path | None = None
    ) -> Iterator[Result]:
        """Results of numbered images, those of a film where it is given, so many of which pass the network at once."""
        from visual.result import Result
        from visual.results import Job, frame_name

        images = iter(images)
        while some := [*itertools.islice(images, batch)]:
            jobs = []
            for number, image in some:
                pixels, path = _pixels(image)
                name = path.stem if path else frame_name(stem, number)
                jobs.append(Job(name, pixels.shape[:2], self._network.fit(pixels), path or film))
            for job, found in zip(jobs, self._found([job.view.pixels for job in jobs]), strict=True):
                seen = found.cut(job.view.inside, job.view.pixels.shape[:2])
                seen.require_finite()
                yield Result(job, self._files.scale(job, seen), self._files)

    def _found(self, views: list[np.ndarray]) -> list[Any]:
        with self._lock:  # networks keep things from one call to the next
            found = self._network(views)
            self._network.seconds.clear()
            self._network.refining.clear()
        return found


def _judged_network(args: Namespace) -> DepthResult:
    """Judge the network that options name."""
    import state_manager
    from engine.device import autocast
    from perspective_resample.input_view import view_of

    with _own_randomness():
        model, device, _ = state_manager.open_network(args, "depth")
    precision = autocast(args, device)

    def predict(images: Any) -> Any:
        with precision():
            return model.predict(images, ("depth",))

    said = model.describe() if hasattr(model, "describe") else {}
    filter = getattr(model, "input_filter", "bilinear")
    return _judged(args, predict, device, filter, lambda spec: view_of(model, spec.dataset), said)


def _judged_function(args: Namespace, function: DepthOf, known: str) -> DepthResult:
    """Judge a function of images."""
    from engine.device import prepare_torch
    from errors import UserError
    from evaluation.callables import AS_IT_IS, as_predict

    if not callable(function):
        raise UserError(f"{function!r}: neither a predictor of depth() nor a function of an image; give one of them")
    predict = as_predict(function, known)
    with _own_randomness():
        device = prepare_torch(args)
    return _judged(args, predict, device, "bilinear", lambda spec: AS_IT_IS, {"input": "the image at its own size"})


def _judged(
    args: Namespace, predict: Predict, device: Any, filter: Any, view: Any, network: Mapping[str, Any]
) -> DepthResult:
    """Judge what predicts by the protocol that options name; `view` says what it sees of the images of a loader."""
    import dataclasses

    from dataloader.loaders import build_evaluation
    from dataloader.prefetch import stream
    from errors import UserError
    from evaluation.depth import judge_depth
    from evaluation.protocols import build_protocol
    from methods.truth import look_at_truth
    from methods.video.own_frames import take_own_frames
    from storage.progress import Progress

    if len(args.depth_validation_loaders) != 1:
        loader = ",".join(args.depth_validation_loaders)
        raise UserError(f"loader {loader!r}: name one; results are of one data set")
    take_own_frames(args)
    loaders: list[EvaluationData] = build_evaluation(args, "depth", filter=filter)
    (data,) = loaders
    if data.spec.truth == "server":
        raise UserError(f"{data.spec.name}: a server has its truth; eval_depth.py writes the files to upload")
    if data.spec.truth == "neighbours":
        raise UserError(f"{data.spec.name}: it has no depth; train.py measures it after its epochs")
    look_at_truth(args, loaders)
    protocol = build_protocol(args, data.spec.protocol, view(data.spec))
    shown = Progress(data, "batches", data.spec.domain, len(data))
    batches = stream(shown, device)
    result = judge_depth(args, predict, batches, protocol, ground_truth=data.truth_kind, network=network)
    return dataclasses.replace(result, skipped=result.skipped + data.skipped)


def _pixels(image: Picture) -> tuple[np.ndarray, pathlib.Path | None]:
    """An image as (H, W, 3) uint8 RGB, and its file if it has one.  Raises `UserError` where it is none."""
    import numpy as np
    from PIL import Image, ImageOps

    from dataloader.files import read_image
    from dataloader.rgb import to_rgb
    from errors import UserError
    from inference import COPY

    if isinstance(image, str | os.PathLike):
        if not os.path.exists(image):
            raise UserError(f"{image}: no such file; give the path of an image")
        return read_image(image, remedy=COPY), pathlib.Path(image)
    if isinstance(image, Image.Image):
        return np.asarray(to_rgb(ImageOps.exif_transpose(image), "image")), None
    if not isinstance(image, np.ndarray):
        raise UserError(f"{type(image).__name__}: no image; give a path, an array (H, W, 3) or a Pillow image")
    grey = image.ndim == 2
    if not (grey or (image.ndim == 3 and image.shape[2] in (3, 4))) or not image.size:
        raise UserError(f"array of shape {image.shape}: no image; give (H, W, 3), RGB")
    pixels = np.repeat(image[..., None], 3, axis=2) if grey else image[..., :3]
    if pixels.dtype.kind == "f" and 0 <= pixels.min() and pixels.max() <= 1:
        pixels = (pixels * 255).round().astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UserError(
            f"array of {pixels.dtype} from {pixels.min():g} to {pixels.max():g}: give uint8, or float in [0, 1]"
        )
    return np.ascontiguousarray(pixels), None


def _absolute(name: str | os.PathLike[str]) -> str:
    """A path that does not depend on the folder of runs; other names as they are."""
    return os.path.abspath(name) if os.path.exists(name) else os.fspath(name)


def _words(options: Mapping[str, Any]) -> list[str]:
    """Options as the command line has them."""
    words = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            listed = isinstance(value, list | tuple)
            words.append(f"--{flag}={','.join(map(str, value)) if listed else value}")
    return words


def _named(predictors: Sequence[Any]) -> dict[str, Any]:
    """A name for each: what it was opened by, or what it is called; a number where that is not enough."""
    from errors import UserError

    named: dict[str, Any] = {}
    for each in predictors:
        name = getattr(each, "name", "") or getattr(each, "__name__", "")
        if not name:
            raise UserError("compare: some of these have no name; give them as {name: result}")
        number = sum(other.partition(" #")[0] == name for other in named)
        named[f"{name} #{number + 1}" if number else name] = each
    return named


@contextlib.contextmanager
def _own_randomness() -> Iterator[None]:
    """Inside, seeds are set as commands do it; the random numbers of the caller go on as if nothing had been."""
    import random

    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
