"""SGDEM: SGDepth with attention, a consistency loss and distillation of refined patches. Imports no torch."""

from __future__ import annotations

from presets.options import (
    DEPTH_TRAINING,
    DEPTH_VALIDATION,
    EXPERIMENT,
    EXPORT,
    INFERENCE,
    OPTIMISER,
    PICTURES,
    POSE_VALIDATION,
    SYSTEM,
    TRAINING,
)
from presets.refinement import REFINEMENT
from presets.teaching import TEACHING

from ..method import Method
from ..sgdepth.options import GRADIENTS, MASKING, NETWORK, SEGMENTATION_TRAINING, SEGMENTATION_VALIDATION
from .options import ATTENTION, CONSISTENCY, DISTILLATION

METHOD = Method(
    name="sgdem",
    about="SGDEM: SGDepth with attention between channels, consistency of depth and classes, and distillation from a "
    "frozen DPT teacher, patch by patch; ResNet-50",
    broken="no training script; imports that are not shipped, CUDA alone, windows on the screen; a consistency "
    "loss that is always 0",
    tasks=("depth", "segmentation", "pose"),
    options={
        "train": (
            SYSTEM,
            NETWORK,
            ATTENTION,
            EXPERIMENT,
            TRAINING,
            OPTIMISER,
            GRADIENTS,
            DEPTH_TRAINING,
            TEACHING,
            SEGMENTATION_TRAINING,
            MASKING,
            CONSISTENCY,
            DISTILLATION,
            DEPTH_VALIDATION,
            SEGMENTATION_VALIDATION,
        ),
        "eval_depth": (SYSTEM, NETWORK, ATTENTION, EXPERIMENT, DEPTH_VALIDATION, REFINEMENT, PICTURES),
        "eval_segmentation": (SYSTEM, NETWORK, ATTENTION, EXPERIMENT, SEGMENTATION_VALIDATION, PICTURES),
        "eval_pose": (SYSTEM, NETWORK, ATTENTION, EXPERIMENT, POSE_VALIDATION, PICTURES),
        "inference": (SYSTEM, NETWORK, ATTENTION, EXPERIMENT, INFERENCE, REFINEMENT),
        "export": (NETWORK, ATTENTION, EXPERIMENT, EXPORT),
    },
)
