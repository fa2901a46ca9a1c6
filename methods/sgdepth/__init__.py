"""SGDepth (ECCV 2020): depth from video and segmentation, one shared encoder. Imports no torch."""

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
from .options import GRADIENTS, MASKING, NETWORK, SEGMENTATION_TRAINING, SEGMENTATION_VALIDATION

METHOD = Method(
    name="sgdepth",
    about="SGDepth (ECCV 2020) with its published flags, file layouts and checkpoints; ResNet-18",
    broken="training on odometry and benchmark lists ended where a batch had both cameras; inference on class "
    "19, on grey images and without CUDA",
    tasks=("depth", "segmentation", "pose"),
    options={
        "train": (
            SYSTEM,
            NETWORK,
            EXPERIMENT,
            TRAINING,
            OPTIMISER,
            GRADIENTS,
            DEPTH_TRAINING,
            TEACHING,
            SEGMENTATION_TRAINING,
            MASKING,
            DEPTH_VALIDATION,
            SEGMENTATION_VALIDATION,
        ),
        "eval_depth": (SYSTEM, NETWORK, EXPERIMENT, DEPTH_VALIDATION, REFINEMENT, PICTURES),
        "eval_segmentation": (SYSTEM, NETWORK, EXPERIMENT, SEGMENTATION_VALIDATION, PICTURES),
        "eval_pose": (SYSTEM, NETWORK, EXPERIMENT, POSE_VALIDATION, PICTURES),
        "inference": (SYSTEM, NETWORK, EXPERIMENT, INFERENCE, REFINEMENT),
        "export": (NETWORK, EXPERIMENT, EXPORT),
    },
)
