"""DPT, a frozen depth network of others, which is evaluated as it is. Imports no torch."""

from __future__ import annotations

from presets.options import DEPTH_VALIDATION, EXPERIMENT, EXPORT, INFERENCE, PICTURES, SYSTEM

from ..method import Method

METHOD = Method(
    name="dpt",
    about="a frozen network of others: dpt-hybrid, dpt-large, dpt-hybrid-kitti, dpt-hybrid-nyu, a file or hf:MODEL",
    tasks=("depth",),
    options={
        "eval_depth": (SYSTEM, EXPERIMENT, DEPTH_VALIDATION, PICTURES),
        "inference": (SYSTEM, EXPERIMENT, INFERENCE),
        "export": (EXPERIMENT, EXPORT),
    },
    trained=False,
)
