"""Options that methods share which learn from measured depth. Imports no torch."""

from __future__ import annotations

from presets.option import NOTED, Option

MODEL_NORM = Option(
    "--model-norm",
    "GN",
    "normalisation in the decoder: GN in groups of 16 channels, or BN; of a published file: as its keys tell, of a "
    "student: that of its teacher",
    ("GN", "BN"),
    network=True,
)
TRUTH_MIN = Option(
    "--depth-truth-min",
    1.0,
    "metres; measured depth must be farther to count in the loss: 1 on KITTI, 0.1 indoors",
    low=0,
    resume=NOTED,
)
