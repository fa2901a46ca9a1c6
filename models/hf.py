"""Depth networks of the Hugging Face hub as frozen teachers, through the optional package `transformers`."""

from __future__ import annotations

import functools
import logging
import os
import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from errors import UserError
from storage.atomic import make_writable

from .decoders import OutputConv2d
from .teacher import Habits, Teacher

log = logging.getLogger(__name__)
PREFIX = "hf:"
FAMILIES = {"dpt": True, "depth_anything": False}
"""Kinds of networks whose output we know to be inverse depth -> whether their input must have its size in training."""
NON_COMMERCIAL = re.compile(r"depth-anything/Depth-Anything-V2-.*(Base|Large|Giant)", re.IGNORECASE)
_NEAREST = 1e-3  # metres


class HubNetwork(nn.Module):
    """A network of `transformers` that answers with inverse depth; those that know metres are inverted.

    The last convolution of its head leaves autocast, as in networks of ours.

    Shapes:  image (N, 3, H, W), normalised    Returns: (N, H', W') float32, larger = nearer
    """

    def __init__(self, network: nn.Module, metric: bool):
        super().__init__()
        self.network, self.metric = network, metric
        *_, last = (module for module in network.head.modules() if isinstance(module, nn.Conv2d))
        last.__class__ = OutputConv2d

    def forward(self, image: Tensor) -> Tensor:
        """Inverse depth."""
        found = self.network(pixel_values=image).predicted_depth.float()
        return 1 / found.clamp_min(_NEAREST) if self.metric else found


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
        habits = _habits(constants, metric, FAMILIES[kind])
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"{name}: its preprocessor_config.json does not say size, mean and std as those of DPT and "
            "Depth Anything do; choose another model"
        ) from None
    return Teacher(HubNetwork(network, metric), habits, {"name": name, "sha256": ""}, native)


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
    except ImportError:
        raise UserError(
            f"{name}: needs the package transformers; install it with 'pip install transformers', or choose dpt-hybrid"
        ) from None
    try:
        return (
            AutoModelForDepthEstimation.from_pretrained(source, **options),
            AutoImageProcessor.from_pretrained(source, **options),
        )
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        log.debug("%s: %s", name, error)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"{name}: cannot be loaded ({reason}); check the id, pass --fetch, or fetch it with 'hf download {source}'"
        ) from None


def _habits(processor: Any, metric: bool, fixed: bool) -> Habits:
    """Constants of an image processor; the images themselves are resized on their device."""
    return Habits(
        target=(processor.size["height"], processor.size["width"]),
        multiple=processor.ensure_multiple_of,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        enlarge="bilinear",
        metric=metric,
        fixed=fixed,
    )


def _estimates_metres(config: Any) -> bool:
    return getattr(config, "depth_estimation_type", "relative") == "metric"


@functools.cache
def _tell_licence(source: str) -> None:
    log.warning("%s: licence CC-BY-NC-4.0, for non-commercial use only", source)
