"""Options of networks with a depth and a segmentation branch. Imports no torch."""

from __future__ import annotations

from presets.option import BETWEEN, FREE, LONGEST, NOTED, START, Group, Option, integers
from presets.options import VIDEO_NETWORK

NETWORK: Group = (
    VIDEO_NETWORK[0],
    (
        *VIDEO_NETWORK[1],
        Option(
            "--model-split-pos",
            1,
            "where depth and segmentation decoders part; 0: from the start",
            (0, 1, 2, 3, 4),
            network=True,
        ),
        Option(
            "--model-num-classes",
            20,
            "segmentation outputs; 20: the Cityscapes classes and background",
            low=2,
            high=255,
            network=True,
        ),
        Option("--model-disparity-bias", 5.0, "added to the bias of the depth outputs before training", resume=START),
    ),
)
GRADIENTS: Group = (
    "gradients in the shared part",
    (
        Option("--train-depth-grad-scale", 0.9, "weight of the depth gradient in the shared part", low=0, resume=NOTED),
        Option(
            "--train-segmentation-grad-scale",
            0.1,
            "weight of the segmentation gradient in the shared part",
            low=0,
            resume=NOTED,
        ),
    ),
)
SEGMENTATION_TRAINING: Group = (
    "segmentation training",
    (
        Option(
            "--segmentation-training-loaders", ("cityscapes_train",), "data sets; '' trains depth alone", resume=BETWEEN
        ),
        Option("--segmentation-training-batch-size", 6, "images per batch and process", low=1, resume=BETWEEN),
        Option(
            "--segmentation-resize-height",
            512,
            "height of the image before it is shrunk by 1 to 1.5 and cropped",
            low=64,
            high=LONGEST,
            resume=NOTED,
        ),
        Option(
            "--segmentation-resize-width",
            1024,
            "width of the image before it is shrunk by 1 to 1.5 and cropped",
            low=64,
            high=LONGEST,
            resume=NOTED,
        ),
        Option(
            "--segmentation-crop-height",
            192,
            "height of the network input, pixels, a multiple of 32",
            low=64,
            high=LONGEST,
            multiple=32,
            resume=NOTED,
        ),
        Option(
            "--segmentation-crop-width",
            640,
            "width of the network input, pixels, a multiple of 32",
            low=64,
            high=LONGEST,
            multiple=32,
            resume=NOTED,
        ),
    ),
)
MASKING: Group = (
    "masking of moving objects",
    (
        Option("--masking-enable", False, "drop images whose dynamic classes move", resume=NOTED),
        Option(
            "--masking-from-epoch",
            15,
            "first epoch that collects statistics; masking starts in the next",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--masking-linear-increase",
            False,
            "mask fewer images from epoch to epoch",
            resume=NOTED,
            leans_on="train_num_epochs",
            leans=lambda values: bool(values.get("masking_enable") and values.get("masking_linear_increase")),
        ),
        Option(
            "--moving-mask-percent",
            0.1,
            "share of images masked, a fraction; without linear increase only",
            low=0,
            high=1,
            resume=NOTED,
        ),
        Option("--masking-classes", tuple(range(11, 20)), "train ids that may move", kind=integers, resume=NOTED),
    ),
)
SEGMENTATION_VALIDATION: Group = (
    "segmentation validation",
    (
        Option(
            "--segmentation-validation-resize-height",
            512,
            "height of the network input, pixels, a multiple of 32",
            low=64,
            high=LONGEST,
            multiple=32,
            resume=FREE,
        ),
        Option(
            "--segmentation-validation-resize-width",
            1024,
            "width of the network input, pixels, a multiple of 32",
            low=64,
            high=LONGEST,
            multiple=32,
            resume=FREE,
        ),
        Option("--segmentation-validation-loaders", ("cityscapes_validation",), "data sets; '' for none", resume=FREE),
        Option("--segmentation-validation-batch-size", 1, "images per batch", low=1, resume=FREE),
    ),
)
