"""Options of Spatial-KD. Imports no torch."""

from __future__ import annotations

from presets.option import NOTED, Group, Option
from presets.options import DEPTH_MAX

from ..metric.options import MODEL_NORM, TRUTH_MIN

NETWORK: Group = (
    "network",
    (
        Option(
            "--model-encoder",
            "mobilenetv2",
            "backbone of the encoder; resnext101, 32x8d, is that of the published teachers",
            ("resnext101", "resnet50", "resnet18", "mobilenetv2"),
            network=True,
        ),
        Option(
            "--mobilenet-residuals",
            "full",
            "skip connections of MobileNetV2; released: without those of blocks 3, 6 and 13, which the released code "
            "forgets; set where its files are loaded",
            ("full", "released"),
            network=True,
        ),
        MODEL_NORM,
        DEPTH_MAX,
    ),
)
SUPERVISED: Group = ("supervised loss", (TRUTH_MIN,))
DISTILLATION: Group = (
    "distillation",
    (
        Option(
            "--kd-teacher",
            "",
            "a trained network of this method, to make another one its student, which takes over its decoder: a "
            "checkpoint, a published folder or file, below the folder of all runs or where it says; empty: learn alone",
            resume=NOTED,
            groups=True,
        ),
        Option(
            "--kd-teacher-decoder",
            "",
            "the decoder's file, where --kd-teacher names the encoder's of a published pair",
            resume=NOTED,
        ),
        Option("--kd-feature-weight", 0.3, "weight of the differences of features", low=0, resume=NOTED),
        Option(
            "--kd-laplacian-weight",
            0.1,
            "weight of each of the three parts of their decomposition",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--kd-replace",
            0.2,
            "share of four features that blocks of the teacher's replace when the share has risen; 0: none",
            low=0,
            high=1,
            resume=NOTED,
            leans_on="train_num_epochs",
            leans=lambda values: bool(values.get("kd_teacher")),
        ),
        Option("--kd-replaced-weight", 0.2, "weight of the differences in these blocks", low=0, resume=NOTED),
    ),
)
