"""DPT, a frozen depth network of others, which is evaluated as it is. Imports no torch."""

from __future__ import annotations

from presets.options import DEPTH_VALIDATION, EXPERIMENT, PICTURES, SYSTEM

from ..method import Method

METHOD = Method(
    name="dpt",
    about="a frozen teacher, which --model-load names: dpt-hybrid, dpt-large, dpt-hybrid-kitti, dpt-hybrid-nyu, a file "
    "or hf:MODEL",
    tasks=("depth",),
    options={"eval_depth": (SYSTEM, EXPERIMENT, DEPTH_VALIDATION, PICTURES)},
    trained=False,
)
