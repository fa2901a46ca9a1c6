"""Options of further views of the images that depth is trained on. Imports no torch."""

from __future__ import annotations

from .option import NOTED, Group, Option

VIEWS: Group = (
    "further views",
    (
        Option(
            "--local-crop",
            False,
            "a second view of every sample: its frames enlarged 1.2 to 2 times, and one window of the input's size cut "
            "out of them; costs a third of a step and decodes every image also where --data-cache holds it",
            resume=NOTED,
        ),
        Option(
            "--patch-reshuffle",
            False,
            "another view of every sample: its blocks left and right of a column, above and below a row, swapped",
            resume=NOTED,
        ),
        Option(
            "--consistency-weight",
            0.07,
            "weight of the difference between the depth of a view and that of the whole image; 0: none",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--consistency-detach",
            "none",
            "original: views learn from the depth of the whole image, which learns nothing from them",
            ("none", "original"),
            resume=NOTED,
        ),
        Option(
            "--jitter-per-image",
            False,
            "new colours for every frame and view of a sample, as the released code of BDEdepth has them with versions "
            "of torchvision since 2020; else one jitter per sample",
            resume=NOTED,
        ),
    ),
)
