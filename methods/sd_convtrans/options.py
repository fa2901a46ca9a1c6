"""Options of SD-ConvTrans alone. Imports no torch."""

from __future__ import annotations

from presets.option import NOTED, START, Group, Option
from presets.options import DEPTH_MAX, MODEL_LAYERS

NETWORK: Group = (
    "network",
    (
        MODEL_LAYERS,
        DEPTH_MAX,
        Option(
            "--model-transformer", True, "let a transformer see the larger picture besides the pyramid", network=True
        ),
        Option(
            "--diffusion-kernel",
            "trained",
            "kernel of the boundary diffusion: learned, drawn in every pass as in the released code, or no diffusion",
            ("trained", "random", "none"),
            network=True,
        ),
        Option(
            "--input-norm",
            "imagenet",
            "what is taken from the input: mean and deviation of ImageNet, or nothing, which published weights need",
            ("imagenet", "none"),
            network=True,
        ),
        Option(
            "--model-input",
            "frame",
            "what it sees in use. frame: the whole image, at the size of its training; kitti: in evaluation on KITTI "
            "the lowest 352 rows and 1216 columns in the middle, in inference the image in its own shape, as high as "
            "in training",
            ("frame", "kitti"),
            network=True,
        ),
    ),
)
TRANSFORMER_WEIGHTS: Group = (
    "weights of the transformer",
    (
        Option(
            "--model-transformer-weights",
            "",
            "file with weights of Mix Transformer B0: mit_b0.pth of SegFormer, or a SegFormer-B0; empty: random ones",
            resume=START,
        ),
    ),
)
LOSS: Group = (
    "loss",
    (
        Option(
            "--supervised-loss",
            "sdconvtrans",
            "sdconvtrans: logarithms of depth, slopes, normals; hu2019: the same in the form of Hu et al.; released: "
            "the released code taken literally",
            ("sdconvtrans", "hu2019", "released"),
            resume=NOTED,
        ),
        Option(
            "--supervised-gradient-from-epoch",
            0,
            "first epoch with the term on slopes, counted from 0",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--supervised-normal-from-epoch",
            0,
            "first epoch with the term on normals, counted from 0",
            low=0,
            resume=NOTED,
        ),
    ),
)
