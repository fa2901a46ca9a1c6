"""Options of inference to how images come before the network, and to what is written where."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2

from errors import UserError
from perspective_resample.input_view import InputView
from presets.option import EACH

from .camera import is_camera
from .fit import Fit
from .inputs import Inputs
from .lens import REMEDY, has_lens
from .pictures import Look
from .results import ResultFolder, clashes, frame_name

log = logging.getLogger(__name__)


def build_fit(args: Namespace, model: Any) -> Fit:
    """How images come before a network: as ``--fit`` says, else as it is made for."""
    told = [f"--inference-resize-{side}" for side in ("height", "width") if f"inference_resize_{side}" in args.said]
    filter = getattr(model, "input_filter", "bilinear")
    size = (args.inference_resize_height, args.inference_resize_width)
    if not getattr(model, "view", InputView()).resized:
        if idle := [*told, *(["--fit"] if args.fit else [])]:
            log.warning("%s: without effect, this network resizes images itself", ", ".join(idle))
        return Fit("own", ())
    usual = getattr(model, "input_fit", "squash")
    kind = args.fit or (usual if not told else "squash")
    if kind == "multiple" and getattr(args, "patch_refine", False):
        raise UserError("--fit multiple: --patch-refine needs one size for all images; give --fit pad or crop instead")
    own = kind == usual == "multiple" and not told
    return Fit(kind, () if own else size, getattr(model, "size_divisor", 32), filter)


def build_look(args: Namespace) -> Look:
    """How pictures look."""
    return Look(args.layout, args.colormap, () if args.range == EACH else args.range, args.color_bar)


def build_outputs(args: Namespace, inputs: Inputs, video: str) -> ResultFolder:
    """What is written where, when that is possible; `video` is how names of films end.

    Raises:
        UserError: where a file could be written twice or over an input, or nobody tells the lens that is needed.
    """
    extension = args.output_format
    if not extension.startswith(".") or not cv2.haveImageWriter(f"picture{extension}"):
        raise UserError(f"--output-format {extension!r}: OpenCV writes no such files; give for example .jpg or .png")
    look = build_look(args)
    camera = (args.intrinsics, args.fov, tuple(Path(word) for word in args.image_path if os.path.isdir(word)))
    outputs = ResultFolder(Path(args.output_path), extension, args.save, args.save_arrays, look, camera=camera)
    if twice := clashes(outputs, inputs.images.values()):
        target, names = next(iter(twice.items()))
        raise UserError(f"{target}: could be written for {' and for '.join(names)}; choose another --output-format")
    known = {path.resolve() for path in (*inputs.images, *inputs.videos)}
    videos = [outputs.folder / f"{name}{video}" for name in inputs.videos.values()]
    for target in (*videos, *(target for name in inputs.images.values() for target in outputs.possible(name))):
        if target.resolve() in known:
            raise UserError(f"{target}: is an input and could be overwritten; give another --output-path")
    if {"ply", "glb"} & {*args.save} or args.depth_scale.startswith("camera-height"):
        places = [*inputs.images, *(None if is_camera(path) else path for path in inputs.videos)]
        if not any(has_lens(path, *camera) for path in places):
            raise UserError(f"--save and --depth-scale: these images say no focal length; {REMEDY}")
    return outputs


def without_done(inputs: Inputs, outputs: ResultFolder, video: str) -> Inputs:
    """Inputs without those that have their outputs already, which are counted among what is left out."""
    beside_film = replace(outputs, save=tuple(kind for kind in outputs.save if kind != "picture"))

    def is_film_done(path: Path, name: str) -> bool:
        """A film is written when all of its frames are; which it was asked for, those of the first one tell."""
        there = (outputs.folder / f"{name}{video}").exists()
        return there and not is_camera(path) and beside_film.is_done(frame_name(name, 0))

    images = {path: name for path, name in inputs.images.items() if not outputs.is_done(name)}
    videos = {path: name for path, name in inputs.videos.items() if not is_film_done(path, name)}
    count = len(inputs.images) + len(inputs.videos) - len(images) - len(videos)
    told = (f"left out: {count} whose outputs are there (--skip-existing)",) if count else ()
    return replace(inputs, images=images, videos=videos, left_out=(*inputs.left_out, *told))
