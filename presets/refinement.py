"""Options of methods whose disparity is refined patch by patch, in training or in use. Imports no torch."""

from __future__ import annotations

from .option import NOTED, Group, Option

PATCHES = (
    Option("--patch-size", 0, "side of a patch, a multiple of 64; 0: 64 per 96 rows", low=0, multiple=64, resume=NOTED),
    Option(
        "--patch-max", 0, "patches per image at most, those with the strongest gradients; 0: all", low=0, resume=NOTED
    ),
    Option("--patch-enlarge", False, "let patches grow while they stay rich in gradients", resume=NOTED),
    Option(
        "--patch-blend",
        "window",
        "how overlapping patches become one map: smooth windows, or one after the other as released",
        ("window", "released"),
        resume=NOTED,
    ),
    Option(
        "--patch-fusion-weight",
        0.6,
        "how much the patches count against the disparity of the whole image",
        low=0,
        high=1,
        resume=NOTED,
    ),
    Option("--patch-chunk", 64, "patches that pass a teacher at once; fewer need less memory", low=1, resume=NOTED),
)
TEACHERS = "dpt-hybrid, dpt-large, a weight file, hf:<model> or none"

REFINEMENT: Group = (
    "patch refinement",
    (
        Option("--patch-refine", False, "refine the disparity patch by patch; the network is its own teacher"),
        Option("--patch-teacher", "none", f"second teacher: {TEACHERS}"),
        *PATCHES,
    ),
)
"""For networks that can be their own teacher."""
