"""LapDepth (TCSVT 2021): depth in metres from a Laplacian pyramid of residuals. Imports no torch."""

from __future__ import annotations

from presets.measured import MEASURED_TRAINING
from presets.option import NOTED, Group, Option
from presets.options import (
    DEPTH_MAX,
    DEPTH_VALIDATION,
    EXPERIMENT,
    EXPORT,
    INFERENCE,
    OPTIMISER,
    PICTURES,
    SYSTEM,
    TRAINING,
)

from ..method import Method
from ..metric.options import MODEL_NORM, TRUTH_MIN

NETWORK: Group = (
    "network",
    (
        MODEL_NORM,
        Option("--model-activation", "ReLU", "activation in the decoder", ("ReLU", "ELU", "Mish"), network=True),
        DEPTH_MAX,
    ),
)
SUPERVISED: Group = (
    "supervised loss",
    (
        TRUTH_MIN,
        Option(
            "--depth-gradient-weight",
            0.0,
            "weight of gradients against those of dense depth, published 0.1; without dense depth it must be 0",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--depth-gradient-from-epoch",
            15,
            "first epoch of this term (epochs count from 0): 15 on KITTI, 20 on NYUv2",
            low=0,
            resume=NOTED,
        ),
    ),
)
METHOD = Method(
    name="lapdepth",
    about="LapDepth (TCSVT 2021): depth in metres from measured depth, put together from a Laplacian pyramid",
    broken="training without DDP crashed; frozen statistics moved under synchronised normalisation",
    tasks=("depth",),
    options={
        "train": (SYSTEM, NETWORK, EXPERIMENT, TRAINING, OPTIMISER, MEASURED_TRAINING, SUPERVISED, DEPTH_VALIDATION),
        "eval_depth": (SYSTEM, NETWORK, EXPERIMENT, DEPTH_VALIDATION, PICTURES),
        "inference": (SYSTEM, NETWORK, EXPERIMENT, INFERENCE),
        "export": (NETWORK, EXPERIMENT, EXPORT),
    },
)
