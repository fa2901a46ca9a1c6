"""Options of training with measured depth: what becomes of an image before the network sees it. Imports no torch."""

from __future__ import annotations

from .depth_data import DEPTH_CROP, DEPTH_DATA
from .option import NOTED, Group, Option

MEASURED_TRAINING: Group = (
    "training with measured depth",
    (
        *DEPTH_DATA,
        *DEPTH_CROP,
        Option(
            "--train-rotation",
            0.0,
            "degrees by which an image is turned with its depth, at most, in either direction",
            low=0,
            high=180,
            resume=NOTED,
        ),
        Option(
            "--train-color-range",
            0.1,
            "gamma and factors of single channels are drawn from 1 - this to 1 + this",
            low=0,
            high=0.99,
            resume=NOTED,
        ),
        Option(
            "--train-brightness-range",
            0.1,
            "the factor of all channels is drawn from 1 - this to 1 + this",
            low=0,
            high=1,
            resume=NOTED,
        ),
        Option(
            "--train-color-share",
            1.0,
            "share of the images whose gamma, brightness and channels change; --train-color-jitter off: none",
            low=0,
            high=1,
            resume=NOTED,
        ),
        Option(
            "--train-channel-swap",
            0.5,
            "share of the images whose channels change places; --train-color-jitter off: none",
            low=0,
            high=1,
            resume=NOTED,
        ),
    ),
)
