"""What makes metres of depth that inference says: options to factors."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from errors import UserError
from evaluation.remembered import remembered_ratio
from storage.catalogue import is_name
from storage.published import digest_of
from visual.results import ResultFolder
from visual.scale import CameraHeight, FixedScale, Scale

from . import METHODS
from .stored import source_of


def scaled(args: Namespace, outputs: ResultFolder, network: nn.Module, files: Sequence[Path]) -> ResultFolder:
    """The same outputs, of depth of this network that is scaled as ``--depth-scale`` asks; `files` hold the network.

    Raises:
        UserError: when no evaluation tells the factor, or several disagree.
    """
    farthest = getattr(network, "farthest", getattr(args, "model_depth_max", math.inf))
    return replace(outputs, scale=_scale(args, outputs, files), most=farthest)


def _scale(args: Namespace, outputs: ResultFolder, files: Sequence[Path]) -> Scale | Callable:
    """What ``--depth-scale`` asks for."""
    kind, _, number = args.depth_scale.partition("=")
    if kind == "none":
        return outputs.scale
    if kind == "camera-height":
        return CameraHeight(float(number), partial(outputs.lens, needed=True))
    if kind == "median":
        if not METHODS[args.method].trained:
            raise UserError("--depth-scale median: of a frozen network no evaluation is kept; give the factor itself")
        named = args.model_path if is_name(args.model_path) else ""
        runs = args.checkpoint_dir or os.environ.get("IFN_DIR_CHECKPOINT", "")
        ratio, place = remembered_ratio(source_of(args), digest_of(files), named, runs)
        return FixedScale(ratio, f"the median of {place}")
    return FixedScale(float(kind), "as given")
