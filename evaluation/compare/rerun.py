"""The networks of runs once more, on some frames: where errors are, and pictures of them."""

from __future__ import annotations

import math
import shlex
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

import arguments
import state_manager
from dataloader.batch import Truth
from dataloader.dataset import EvaluationSet
from dataloader.labels import CLASSES
from dataloader.loaders import EvaluationData, build_evaluation
from dataloader.prefetch import stream
from dataloader.workers import loader_options
from engine.device import autocast
from errors import UserError
from evaluation.depth import evaluate_depth
from evaluation.protocols import DepthProtocol, build_protocol
from methods import METHODS
from methods.video.own_frames import take_own_frames
from perspective_resample.input_view import view_of
from storage.text import read_table
from visual.comparisons import depth_comparison
from visual.pictures import encode

from .runs import Run

OPTIONS = ("opt_eval_depth.json", "opt.json")  # the first of them is of an evaluation beside its training
FAR, NEAR = (0, 5, 10, 20, 30, 40, 60, math.inf), (0, 1, 2, 3, 4, 6, 8, math.inf)
"""Distances, metres, outdoors and where no more than `INDOORS` metres count."""
INDOORS = 10.0
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
WIDEST = 480  # pixels of a picture in the report


@dataclass
class Tally:
    """Sums of relative errors of pixels, and their numbers, by group."""

    groups: tuple[str, ...]
    sums: np.ndarray = field(init=False)
    counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.sums, self.counts = np.zeros(len(self.groups)), np.zeros(len(self.groups), np.int64)

    def add(self, group: np.ndarray, error: np.ndarray) -> None:
        """Errors (P,) of pixels, and the group of each (P,); those beyond the groups count nowhere."""
        known = group < len(self.groups)
        self.sums += np.bincount(group[known], error[known], len(self.groups))
        self.counts += np.bincount(group[known], minlength=len(self.groups))

    def means(self) -> np.ndarray:
        """Mean error of every group, NaN for those without a pixel."""
        return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), np.nan)


@dataclass
class Again:
    """What a network gave the second time.

    errors:   tallies by what their groups are
    pictures: JPEG files by image
    rows:     metrics by image, to be compared with those that are stored
    """

    errors: dict[str, Tally]
    pictures: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)


Classes = dict[str, np.ndarray]
"""Train ids (H, W) by image, of the size of its truth."""


def options_of(run: Run, domain: str) -> Namespace:
    """Options of the evaluation that a run folder keeps; of its command where another evaluation has replaced them.

    Raises:
        UserError: when neither can be read.
    """
    for name in OPTIONS:
        path = run.folder / name
        if "depth_validation_loaders" in read_table(path):
            args = arguments.parse("eval_depth", ["--config", str(path)])
            if args.model_load:
                return args
    command = shlex.split(str(run.entries[domain].get("origin", {}).get("command", "")))
    if command[1:2] != ["eval_depth.py"]:
        raise UserError(f"{run.folder}: its options are gone; evaluate it again with eval_depth.py")
    return arguments.parse("eval_depth", command[2:])


def again(run: Run, domain: str, names: Sequence[str], drawn: Sequence[str], classes: Classes) -> Again:
    """Judge the network of a run on some images of a set, as it was judged.

    drawn:   images of which there will be pictures
    classes: gets the classes of images where the truth has them, or else where this network sees any and nobody did

    Raises:
        UserError: when network or data are not there any more.
    """
    args = options_of(run, domain)
    take_own_frames(args)
    model, device = state_manager.open_network(args, "depth")[:2]
    data = _narrowed(args, domain, names, getattr(model, "input_filter", "bilinear"))
    protocol = build_protocol(args, data.spec.protocol, view_of(model, data.spec.dataset))
    precision = autocast(args, device)
    size = (args.depth_validation_resize_height, args.depth_validation_resize_width)
    segments = "segmentation" in METHODS[args.method].tasks and not classes

    def predict(images: Tensor) -> Any:
        with precision():
            return model.predict(images, ("depth",))

    def seen(truth: Truth) -> np.ndarray | None:
        """Classes of an image."""
        if truth.labels is None and truth.name not in classes and segments:
            image = torch.from_numpy(np.array(truth.image)).to(device).permute(2, 0, 1)[None] / 255
            with precision():
                logits = model.predict(interpolate(image, size, mode="area"), ("segmentation",)).logits
            ids = logits[:, : len(CLASSES)].argmax(1)[:, None].float()
            classes[truth.name] = interpolate(ids, truth.depth.shape)[0, 0].byte().cpu().numpy()
        return truth.labels if truth.labels is not None else classes.get(truth.name)

    found = Again({})

    def look(position: int, truth: Truth, depth: Tensor, ratio: Tensor | None) -> None:
        if ratio is None:
            return
        aligned = (depth * ratio).clamp(*protocol.clamp)
        counted = protocol.counted(truth.depth, truth.image.shape[:2])
        error = (aligned.reshape(-1).cpu().numpy()[counted] / truth.depth.reshape(-1)[counted] - 1).__abs__()
        for about, (groups, group) in _groups(protocol, truth, counted, seen(truth)).items():
            found.errors.setdefault(about, Tally(groups)).add(group, error)
        if truth.name in drawn:
            found.pictures[truth.name] = _jpeg(depth_comparison(truth.image, aligned, truth.depth, counted))

    batches = stream(data, device)
    scaling = args.depth_validation_fixed_scaling
    result = evaluate_depth(predict, batches, protocol, fixed_scaling=scaling, on_image=look)
    found.rows = {str(row["name"]): row for row in result.rows}
    return found


def _narrowed(args: Namespace, domain: str, names: Sequence[str], filter: Any) -> EvaluationData:
    """Some images of a set.  Raises `UserError` where they are gone."""
    from dataloader.catalog import find_loader

    fitting = [name for name in args.depth_validation_loaders if find_loader("depth", name).domain == domain]
    if not fitting:
        raise UserError(f"{domain}: not among the loaders of the evaluation whose options are kept; evaluate it again")
    args.depth_validation_loaders = tuple(fitting[:1])
    (data,) = build_evaluation(args, "depth", filter=filter)
    wanted = {*names}
    samples = [sample for sample in data.samples if sample.name in wanted]
    if len(samples) < len(wanted):
        raise UserError(f"{domain}: {len(wanted) - len(samples)} of {len(wanted)} images are not there any more")
    size = (args.depth_validation_resize_height, args.depth_validation_resize_width)
    chosen = EvaluationSet(data.spec, samples, size=size, filter=filter)
    batch = args.depth_validation_batch_size
    return EvaluationData(chosen, batch, 0, data.truth_kind, **loader_options(args, evaluation=True))


def _groups(
    protocol: DepthProtocol, truth: Truth, counted: np.ndarray, ids: np.ndarray | None
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Names of groups, and the group of every pixel that counts, by distance, region and, where known, class."""
    height, width = truth.depth.shape
    edges = NEAR if protocol.clamp[1] <= INDOORS else FAR
    distance = truth.depth.reshape(-1)[counted]
    reach = [
        f"{low:g} to {high:g} m" if high < math.inf else f"beyond {low:g} m"
        for low, high in zip(edges, edges[1:], strict=False)
    ]
    found = {
        "distance": (tuple(reach), np.searchsorted(edges[1:-1], distance, side="right")),
        "region": (
            tuple(f"{row} {column}" for row in ROWS for column in COLUMNS),
            counted // width * len(ROWS) // height * len(COLUMNS) + counted % width * len(COLUMNS) // width,
        ),
    }
    if ids is not None and ids.shape == truth.depth.shape:
        found["class"] = (tuple(name for name, *_ in CLASSES), ids.reshape(-1)[counted].astype(np.int64))
    return found


def _jpeg(picture: np.ndarray) -> bytes:
    height, width = picture.shape[:2]
    if width > WIDEST:
        picture = cv2.resize(picture, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)
    return encode(picture, ".jpg")


def segmenting_first(runs: Sequence[Run], domain: str) -> list[Run]:
    """The runs, those first whose network sees classes."""
    sees: Callable[[Run], bool] = lambda run: "segmentation" in METHODS[options_of(run, domain).method].tasks  # noqa: E731
    return sorted(runs, key=lambda run: not sees(run))
