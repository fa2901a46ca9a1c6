"""Monodepth2 (ICCV 2019): depth and camera motion from video alone. Imports no torch."""

from __future__ import annotations

from presets.option import NOTED, Group, Option
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
    VIDEO_NETWORK,
)
from presets.refinement import REFINEMENT
from presets.teaching import TEACHING
from presets.views import VIEWS

from ..method import Method

PHOTOMETRIC: Group = (
    "photometric loss",
    (
        Option(
            "--depth-ssim",
            True,
            "compare structure besides colours; without it the absolute difference alone counts",
            resume=NOTED,
        ),
    ),
)
METHOD = Method(
    name="monodepth2",
    about="Monodepth2 (ICCV 2019): depth and camera motion from video alone, with the loss that the others grew from",
    broken="with today's NumPy, Pillow and torchvision neither true depth is exported nor an image resized or "
    "jittered; evaluation on CUDA and JPEG alone",
    tasks=("depth", "pose"),
    options={
        "train": (
            SYSTEM,
            VIDEO_NETWORK,
            EXPERIMENT,
            TRAINING,
            OPTIMISER,
            DEPTH_TRAINING,
            TEACHING,
            PHOTOMETRIC,
            VIEWS,
            DEPTH_VALIDATION,
        ),
        "eval_depth": (SYSTEM, VIDEO_NETWORK, EXPERIMENT, DEPTH_VALIDATION, REFINEMENT, PICTURES),
        "eval_pose": (SYSTEM, VIDEO_NETWORK, EXPERIMENT, POSE_VALIDATION, PICTURES),
        "inference": (SYSTEM, VIDEO_NETWORK, EXPERIMENT, INFERENCE, REFINEMENT),
        "export": (VIDEO_NETWORK, EXPERIMENT, EXPORT),
    },
    parts={
        "encoder": "encoder.conv1.weight",
        "depth": "decoder.0.conv.conv.weight",
        "pose_encoder": "encoder.conv1.weight",
        "pose": "net.0.weight",
    },
)
