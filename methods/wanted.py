"""Networks that options of training and evaluation name, and that are not there. Imports no torch."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from storage.wanted import FROZEN, fault_of_network

from . import METHODS

NO_TEACHER = (
    "neither a weight file nor a known teacher{}; give a checkpoint, the path of a file, hf:<id>, or one of "
    f"{', '.join(FROZEN)}"
)
NO_NETWORK = (
    "no such file or folder, nor below --checkpoint-dir; give a checkpoint of --method spatial_kd, or encoder and "
    "decoder of a published pair with --kd-teacher and --kd-teacher-decoder"
)
TEACHERS = {
    "kd_teacher": NO_NETWORK,
    "kd_teacher_decoder": NO_NETWORK,
    "patch_teacher": NO_TEACHER,
    "teacher": NO_TEACHER,
}
"""What is said where an option names none."""


def missing_networks(args: Namespace) -> Iterator[str]:
    """What to say where options name no network; that of a run that may go on is not looked at."""
    return filter(None, (_missing(args), *_missing_teachers(args)))


def _missing(args: Namespace) -> str:
    name = getattr(args, "model_load", "")
    if not name or getattr(args, "resume", "") == "auto":
        return ""
    frozen, below = not METHODS[args.method].trained, Path(args.checkpoint_dir) / name
    if name in FROZEN and not frozen:
        return ""  # whoever opens it says which method it is for
    lacking = (
        f"{below} is not there and holds no model.pth; give the folder of a checkpoint, such as "
        ".../checkpoints/epoch_20, or a name of docs/models.md{}"
    )
    return fault_of_network(
        "--model-load",
        name,
        [below, Path(name)] if frozen else [below],
        NO_TEACHER if frozen else lacking,
        fetch=getattr(args, "fetch", False),
        is_teacher=frozen,
    )


def _missing_teachers(args: Namespace) -> Iterator[str]:
    """Those that are used; training downloads the ones that have names."""
    refined = getattr(args, "patch_refine", False)
    learns = not hasattr(args, "depth_training_loaders") or bool(args.depth_training_loaders)
    distilled = learns and getattr(args, "patch_distill", False) and not args.patch_teacher_cache
    whole = getattr(args, "teacher_loss_weight", 0) > 0 and not args.teacher_cache
    used = {"patch_teacher": refined or distilled, "teacher": whole}
    fetched = not refined or getattr(args, "fetch", False)
    for option, lacking in TEACHERS.items():
        name, flag = getattr(args, option, "none"), f"--{option.replace('_', '-')}"
        if name != "none" and used.get(option, True):
            places = [Path(args.checkpoint_dir) / name, Path(name)]
            without = f"; or pass {flag} none to train without it" if option == "patch_teacher" and distilled else ""
            yield fault_of_network(
                flag, name, places, lacking + without, fetch=fetched, is_teacher=lacking is NO_TEACHER
            )
