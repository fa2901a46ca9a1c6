"""Options that say which images depth is trained with, and at what size. Imports no torch."""

from __future__ import annotations

from .option import BETWEEN, LONGEST, NOTED, Option

DEPTH_DATA = (
    Option(
        "--depth-training-loaders",
        ("kitti_kitti_train",),
        "data sets, separated by commas; '' for none",
        resume=BETWEEN,
    ),
    Option("--depth-training-batch-size", 6, "images or triplets per batch and process", low=1, resume=BETWEEN),
)
DEPTH_SIZE = (
    Option(
        "--depth-resize-height",
        192,
        "height of the network input, pixels, a multiple of 32",
        low=64,
        high=LONGEST,
        multiple=32,
        resume=NOTED,
    ),
    Option(
        "--depth-resize-width",
        640,
        "width of the network input, pixels, a multiple of 32",
        low=64,
        high=LONGEST,
        multiple=32,
        resume=NOTED,
    ),
)
DEPTH_CROP = (
    Option(
        "--depth-crop-height",
        192,
        "height of the crop in training with measured depth, pixels; 0: all rows; of no effect in training on video",
        low=0,
        high=LONGEST,
        resume=NOTED,
    ),
    Option(
        "--depth-crop-width",
        640,
        "width of the crop in training with measured depth, pixels; 0: all columns; of no effect in training on video",
        low=0,
        high=LONGEST,
        resume=NOTED,
    ),
)
