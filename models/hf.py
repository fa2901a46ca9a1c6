"""Depth networks of the Hugging Face hub as frozen teachers, through the optional package `transformers`."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import UserError, reason_of
from storage.atomic import make_writable

from .decoders import OutputConv2d
from .teacher import Habits, Teacher

log = logging.getLogger(__name__)
PREFIX = "hf:"
FAMILIES = {"dpt": True, "depth_anything": False, "zoedepth": False}
"""Kinds of networks whose output we know -> whether their input must have its size in training."""
ZOE_MARGINS = 3.0
ZOE_MULTIPLE = 32  # where a processor says 1/32, as its default does
NON_COMMERCIAL = re.compile(r"depth-anything/Depth-Anything-V2-.*(Base|Large|Giant)", re.IGNORECASE)


class HubNetwork(nn.Module):
    """A network of `transformers` that answers with what it predicts: inverse depth, or depth in metres.

    The last convolution of its head leaves autocast, as in networks of ours; ZoeDepth, whose head is none of
    convolutions alone, leaves it altogether.

    Shapes:  image (N, 3, H, W), normalised    Returns: (N, H', W') float32
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.exact = not hasattr(network, "head")
        if not self.exact:
            *_, last = (module for module in network.head.modules() if isinstance(module, nn.Conv2d))
            last.__class__ = OutputConv2d

    def forward(self, image: Tensor) -> Tensor:
        """Depth, or inverse depth."""
        outside = torch.autocast(image.device.type, enabled=False) if self.exact else contextlib.nullcontext()
        with outside:
            return self.network(pixel_values=image).predicted_depth.float()


def build(name: str, native: bool = False, fetch: bool = False) -> Teacher:
    """Teacher ``hf:<id>``, or ``hf:<folder>`` with a saved model; see `Teacher`.

    fetch: download what is missing; the variable HF_HUB_OFFLINE forbids it

    Raises:
        UserError: when `transformers` or the model is missing, or it is of a kind whose output we do not know.
    """
    source = name.removeprefix(PREFIX)
    if fetch and not Path(source).is_dir():
        _require_cache(name)
    network, constants = _load(name, source, local_files_only=not fetch)
    kind = network.config.model_type
    if kind not in FAMILIES:
        raise UserError(
            f"{name}: a network of kind {kind!r}, whose output is not known here; use one of kind "
            f"{' or '.join(FAMILIES)}"
        )
    if NON_COMMERCIAL.search(source):
        _tell_licence(source)
    metric = "metric" in source.rpartition("/")[2].lower() or _estimates_metres(network.config)
    try:
        habits = _habits_of_zoe(constants, network.config) if kind == "zoedepth" else _habits(constants, FAMILIES[kind])
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"{name}: its preprocessor_config.json does not say size, mean and std as those of DPT, Depth Anything and "
            "ZoeDepth do; choose another model"
        ) from None
    if metric:
        farthest = float(network.config.max_depth) if _estimates_metres(network.config) else habits.farthest
        habits = replace(habits, metric=True, depth=True, farthest=farthest)
    return Teacher(HubNetwork(network), habits, {"name": name, "sha256": ""}, native)


def _require_cache(name: str) -> None:
    """Check that models of the hub can be kept where its variables say, if they do."""
    for variable in ("HF_HUB_CACHE", "HF_HOME"):
        if folder := os.environ.get(variable):
            make_writable(Path(folder).expanduser(), f"let the variable {variable} name a folder that can, for {name}")
            return


def _load(name: str, source: str, **options: bool) -> tuple[nn.Module, Any]:
    """Network and image processor."""
    try:
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation
        from transformers.utils import logging as theirs
    except ImportError:
        raise UserError(
            f"{name}: needs the package transformers; install it with 'pip install transformers', or choose dpt-hybrid"
        ) from None
    if not sys.stderr.isatty():
        theirs.disable_progress_bar()
    try:
        return (
            AutoModelForDepthEstimation.from_pretrained(source, **options),
            AutoImageProcessor.from_pretrained(source, **options),
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        log.debug("%s: %s", name, error)
        raise UserError(
            f"{name}: cannot be loaded ({reason_of(error)}); check the id, pass --fetch, or fetch it with "
            f"'hf download {source}'"
        ) from None


def _habits_of_zoe(processor: Any, config: Any) -> Habits:
    """ZoeDepth says metres; it sees images with mirrored edges, and their corners where those of its input are."""
    multiple = processor.ensure_multiple_of
    return replace(
        _habits(processor, fixed=not processor.keep_aspect_ratio),
        multiple=int(multiple) if multiple >= 1 else ZOE_MULTIPLE,
        metric=True,
        depth=True,
        farthest=max(float(each["max_depth"]) for each in config.bin_configurations),
        resize="bilinear",
        corners=True,
        mirrored=ZOE_MARGINS if processor.do_pad else 0.0,
        enlarge="bicubic",
    )


def _habits(processor: Any, fixed: bool) -> Habits:
    """Constants of an image processor; the images themselves are resized on their device."""
    return Habits(
        target=(processor.size["height"], processor.size["width"]),
        multiple=processor.ensure_multiple_of,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        enlarge="bilinear",
        fixed=fixed,
    )


def _estimates_metres(config: Any) -> bool:
    return getattr(config, "depth_estimation_type", "relative") == "metric"


@functools.cache
def _tell_licence(source: str) -> None:
    log.warning("%s: licence CC-BY-NC-4.0, for non-commercial use only", source)
