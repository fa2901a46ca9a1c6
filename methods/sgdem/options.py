"""Options of what SGDEM adds to SGDepth. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from presets.option import FREE, NOTED, Group, Option
from presets.refinement import PATCHES, TEACHERS
from presets.teaching import lies_in_runs


def _lies_in_runs(values: Mapping[str, Any], name: str) -> bool:
    """Whether an option names a teacher of patches by a path below the folder of all runs."""
    return bool(values.get("patch_distill")) and lies_in_runs(str(values.get(name, "")))


ATTENTION: Group = (
    "attention",
    (
        Option(
            "--model-attention",
            "none",
            "blockwise channel attention: on the deepest map of the shared encoder "
            "(bottleneck), or as the released SGDEM code has it",
            ("none", "bottleneck", "released"),
            network=True,
        ),
        Option(
            "--model-attention-strips",
            4,
            "strips of columns the bottleneck attention works on one by one",
            low=1,
            network=True,
        ),
        Option(
            "--model-attention-gain",
            False,
            "learn the weight of the attention, from 0; for fine-tuning plain SGDepth",
            network=True,
        ),
        Option("--model-aspp", False, "atrous pyramid on the deepest map, before the attention", network=True),
    ),
)
CONSISTENCY: Group = (
    "semantic-depth consistency",
    (
        Option(
            "--sd-consistency-weight", 0.0, "weight of the loss of depth against classes; 0: off", low=0, resume=NOTED
        ),
        Option(
            "--sd-consistency-variant",
            "decided",
            "decided: disparity steps inside an object, blind to its scale; paper: as drawn in the published figure; "
            "boundary: smooth inside regions, free across their borders; triplet: apart at borders; plane: normals of "
            "road and sidewalk agree",
            ("decided", "paper", "boundary", "triplet", "plane"),
            resume=NOTED,
        ),
        Option(
            "--sd-consistency-margin",
            0.1,
            "triplet: by how much disparities across a border are farther than those of the same side, as a share of "
            "the disparity",
            low=0,
            resume=NOTED,
        ),
        Option(
            "--sd-consistency-from-epoch",
            1,
            "first epoch of this loss; before that the classes are noise",
            low=0,
            resume=NOTED,
        ),
    ),
)
DISTILLATION: Group = (
    "patch distillation",
    (
        Option("--patch-distill", False, "train on disparities refined patch by patch", resume=NOTED),
        Option("--patch-from-epoch", 5, "first epoch of the patch loss (epochs count from 0)", low=0, resume=NOTED),
        Option("--patch-until-epoch", 15, "first epoch without it again", low=0, resume=NOTED),
        Option("--patch-interval", 1, "every how many steps it is computed", low=1, resume=NOTED),
        Option("--patch-loss-weight", 16.0, "weight of the patch loss", low=0, resume=NOTED),
        Option(
            "--patch-self-teacher",
            "snapshot",
            "who estimates patches at three scales: a copy of the network from the "
            "start of the epoch (snapshot), its running mean (ema), the network itself (student), or a checkpoint, "
            "below the folder of all runs or absolute",
            resume=NOTED,
            leans_on="checkpoint_dir",
            leans=lambda values: _lies_in_runs(values, "patch_self_teacher"),
        ),
        Option(
            "--patch-teacher",
            "dpt-hybrid",
            f"frozen teacher: a checkpoint of any method, {TEACHERS}",
            resume=NOTED,
            leans_on="checkpoint_dir",
            leans=lambda values: _lies_in_runs(values, "patch_teacher"),
        ),
        Option(
            "--patch-teacher-cache",
            "",
            "folder with the teacher's maps, made by python -m dataloader.prepare "
            "teacher-cache; the teacher is then not loaded",
            resume=FREE,
        ),
        Option(
            "--patch-gate",
            "photometric",
            "photometric: use an image only where its refined disparity explains the "
            "neighbour frames better; none: use all",
            ("photometric", "none"),
            resume=NOTED,
        ),
        *PATCHES,
    ),
)
