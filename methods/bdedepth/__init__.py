"""BDEdepth (RA-L 2024): Monodepth2 with more detail, trained on three views of every image. Imports no torch."""

from __future__ import annotations

from presets.option import START, Group, Option
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
from ..monodepth2 import PHOTOMETRIC

BACKBONE: Group = (
    "backbone",
    (
        Option(
            "--model-backbone",
            "hrnet",
            "encoder of depth: HRNet-W18, or a ResNet of --model-num-layers",
            ("hrnet", "resnet"),
            network=True,
        ),
    ),
)
BACKBONE_WEIGHTS: Group = (
    "weights of the backbone",
    (
        Option(
            "--model-backbone-weights",
            "",
            "file with the ImageNet weights of HRNet-W18-C (HRNet_W18_C_cosinelr_cutmix_300epoch.pth.tar); empty: "
            "those of timm, fetched on first use",
            resume=START,
        ),
    ),
)
METHOD = Method(
    name="bdedepth",
    about="BDEdepth (RA-L 2024): Monodepth2 with an encoder for details, trained on enlarged crops and permuted blocks",
    broken="training without `--resume` crashed, and on several GPUs without a launcher; HRNet needed a module "
    "that torchvision has removed",
    tasks=("depth", "pose"),
    options={
        "train": (
            SYSTEM,
            VIDEO_NETWORK,
            BACKBONE,
            BACKBONE_WEIGHTS,
            EXPERIMENT,
            TRAINING,
            OPTIMISER,
            DEPTH_TRAINING,
            TEACHING,
            PHOTOMETRIC,
            VIEWS,
            DEPTH_VALIDATION,
        ),
        "eval_depth": (SYSTEM, VIDEO_NETWORK, BACKBONE, EXPERIMENT, DEPTH_VALIDATION, REFINEMENT, PICTURES),
        "eval_pose": (SYSTEM, VIDEO_NETWORK, BACKBONE, EXPERIMENT, POSE_VALIDATION, PICTURES),
        "inference": (SYSTEM, VIDEO_NETWORK, BACKBONE, EXPERIMENT, INFERENCE, REFINEMENT),
        "export": (VIDEO_NETWORK, BACKBONE, EXPERIMENT, EXPORT),
    },
    parts={
        "encoder": "encoder.conv1.weight",
        "depth": "decoder.0.1.weight",
        "pose_encoder": "encoder.conv1.weight",
        "pose": "net.0.weight",
    },
)
