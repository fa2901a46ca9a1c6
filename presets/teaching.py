"""Options of a teacher of whole images, for all methods that learn from video. Imports no torch."""

from __future__ import annotations

from pathlib import PurePath

from .option import FREE, NOTED, Group, Option


def lies_in_runs(name: str) -> bool:
    """Whether a teacher is named by a path below the folder of all runs."""
    path = PurePath(name)
    is_path = len(path.parts) > 1 or bool(path.suffix)
    return is_path and not path.is_absolute() and not name.startswith("hf:")


TEACHING: Group = (
    "teacher of whole images",
    (
        Option(
            "--teacher-loss-weight",
            0.0,
            "weight of the difference between the depth of a whole image and what a teacher says of it; 0: no teacher",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--teacher",
            "",
            "who teaches: a checkpoint of any method, below the folder of all runs or where it says, or as "
            "--patch-teacher; may be left out with --teacher-cache",
            resume=NOTED,
            leans_on="checkpoint_dir",
            leans=lambda values: bool(values.get("teacher_loss_weight")) and lies_in_runs(str(values.get("teacher"))),
        ),
        Option(
            "--teacher-cache",
            "",
            "folder with its answers, made by python -m dataloader.prepare teacher-cache; the teacher is then not "
            "loaded; empty: it is asked in every step",
            resume=FREE,
        ),
        Option(
            "--teacher-loss",
            "ssi+gradient",
            "ssi: difference up to scale and shift; ssi+gradient: and of its gradients, at four scales; ranking: order "
            "of pairs of pixels",
            ("ssi", "ssi+gradient", "ranking"),
            resume=NOTED,
        ),
        Option(
            "--teacher-gate",
            "none",
            "pixels that learn: all; photometric: where the teacher's depth explains the neighbour frames better; "
            "uncertainty: where the teacher says the same of the mirrored image",
            ("none", "photometric", "uncertainty"),
            resume=NOTED,
        ),
        Option("--teacher-from-epoch", 0, "first epoch with the teacher (epochs count from 0)", low=0, resume=NOTED),
        Option("--teacher-until-epoch", 0, "first epoch without it again; 0: to the end", low=0, resume=NOTED),
        Option(
            "--teacher-decay",
            1.0,
            "factor on the weight with every epoch after the first one with the teacher",
            low=0,
            high=1,
            resume=NOTED,
        ),
    ),
)
