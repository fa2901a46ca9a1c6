"""Spatial-KD (JVCIR 2022): depth in metres, learned from measurements and from a larger network. Imports no torch."""

from __future__ import annotations

from presets.measured import MEASURED_TRAINING
from presets.options import DEPTH_VALIDATION, EXPERIMENT, EXPORT, INFERENCE, OPTIMISER, PICTURES, SYSTEM, TRAINING

from ..method import Method
from .options import DISTILLATION, NETWORK, SUPERVISED

METHOD = Method(
    name="spatial_kd",
    about="Spatial-KD (JVCIR 2022): depth in metres from measured depth, by a large network or a small student of it",
    broken="evaluation needs a class that is not shipped; students were trained with DDP alone; MobileNetV2 lacks "
    "three skip connections",
    tasks=("depth",),
    options={
        "train": (
            SYSTEM,
            NETWORK,
            EXPERIMENT,
            TRAINING,
            OPTIMISER,
            MEASURED_TRAINING,
            SUPERVISED,
            DISTILLATION,
            DEPTH_VALIDATION,
        ),
        "eval_depth": (SYSTEM, NETWORK, EXPERIMENT, DEPTH_VALIDATION, PICTURES),
        "inference": (SYSTEM, NETWORK, EXPERIMENT, INFERENCE),
        "export": (NETWORK, EXPERIMENT, EXPORT),
    },
    pair=("encoder.conv_convert_list.0.module.2.weight", "decoder_0_up.conv.weight"),
)
