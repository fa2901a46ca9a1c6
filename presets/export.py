"""What export writes, and in which form. Imports no torch."""

from __future__ import annotations

from .option import Option

FORMATS = ("onnx", "pt2", "safetensors")
EXPORTED = (
    Option(
        "--format",
        "",
        "onnx, for ONNX Runtime and its like; pt2, of torch.export; safetensors, weights with a card, which commands "
        "here load again; empty: as the ending of --output says",
        ("", *FORMATS),
    ),
    Option("--output", "", "file to write; with --format safetensors a folder, too, in the form of an upload"),
)
FORM = (
    Option(
        "--dynamic",
        False,
        "number and size of the images may vary, sizes in multiples of 32; where a network computes with its size, the "
        "number alone",
    ),
    Option(
        "--precision",
        "fp32",
        "of weights, and in ONNX of what is computed; int8 is for ONNX, calibrated on the pictures",
        ("fp32", "fp16", "int8"),
    ),
)
CARD = (
    Option("--licence", "", "licence of the weights, for the card; empty: as published, where that is known"),
    Option("--push", "", "id USER/NAME on the Hugging Face hub to upload to, with the token of huggingface_hub"),
)
