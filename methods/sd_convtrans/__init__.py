"""SD-ConvTrans: metric depth, supervised, from two sizes of a picture. Imports no torch."""

from __future__ import annotations

from presets.depth_data import DEPTH_SIZE
from presets.measured import MEASURED_TRAINING
from presets.option import Group
from presets.options import DEPTH_VALIDATION, EXPERIMENT, EXPORT, INFERENCE, OPTIMISER, PICTURES, SYSTEM, TRAINING

from ..method import Method
from .options import LOSS, NETWORK, TRANSFORMER_WEIGHTS

SIZE: Group = ("size of the larger picture", DEPTH_SIZE)
METHOD = Method(
    name="sd_convtrans",
    about="SD-ConvTrans: depth in metres, learned from dense depth: the base of a small picture guides the detail",
    broken="no training that runs, no KITTI; a diffusion kernel that is random in every pass, and on CUDA alone; "
    "NaN in its loss on normals",
    tasks=("depth",),
    options={
        "train": (
            SYSTEM,
            NETWORK,
            TRANSFORMER_WEIGHTS,
            EXPERIMENT,
            TRAINING,
            OPTIMISER,
            MEASURED_TRAINING,
            SIZE,
            LOSS,
            DEPTH_VALIDATION,
        ),
        "eval_depth": (SYSTEM, NETWORK, EXPERIMENT, DEPTH_VALIDATION, PICTURES),
        "inference": (SYSTEM, NETWORK, EXPERIMENT, INFERENCE),
        "export": (NETWORK, EXPERIMENT, EXPORT),
    },
)
