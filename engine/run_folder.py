"""What lies in the folder of a run before it begins, and in those of its name: what must not be written over."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from errors import UserError
from storage.checkpoint_folder import checkpoints, sweep
from storage.notes import METADATA, Damaged, read

from . import ranks

log = logging.getLogger(__name__)


def refuse_used(run_folder: Path, args: Namespace) -> None:
    """Stop before anything is loaded where a run would write over another one.

    Raises:
        UserError: when the folder holds checkpoints and neither continuing nor overwriting was asked for.
    """
    folder = run_folder / "checkpoints"
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder}: is no folder; move it away or choose another --model-name")
    if args.overwrite and folder.is_symlink():
        raise UserError(
            f"{folder}: a link, and what lies elsewhere is not discarded; remove the link or choose another "
            "--model-name instead of --overwrite"
        )
    if ranks.is_first():
        sweep(run_folder)
    ranks.all_reduce_max()
    existing = checkpoints(run_folder)
    if existing and args.resume == "never" and not args.overwrite:
        number = f"{len(existing)} checkpoints (last: {existing[-1].name})" if existing[1:] else existing[0].name
        raise UserError(
            f"{run_folder}: already holds {number}; pass --resume auto to go on, --overwrite to discard what is there, "
            "or another --model-name"
        )


def tell_of_namesakes(run_folder: Path, args: Namespace) -> None:
    """Warn where a run that is to go on begins, and one of its name and method lies in another --experiment-class."""
    if args.resume == "never" or checkpoints(run_folder):
        return
    for other in sorted(Path(args.checkpoint_dir).glob(f"*/{glob.escape(args.model_name)}")):
        existing = checkpoints(other) if other != run_folder else []
        if existing and newest_options(existing).get("method") == args.method:
            log.warning(
                "%s: nothing to go on from, so the run begins; %s is of this name, too: "
                "--experiment-class %s goes on with it",
                run_folder,
                other,
                other.relative_to(args.checkpoint_dir).parts[0],
            )


def newest_options(existing: list[Path]) -> dict[str, Any]:
    """Options of the newest of these checkpoints whose notes can be read; {} where there is none."""
    for folder in reversed(existing):
        with contextlib.suppress(Damaged):
            return read(folder / METADATA)["options"]
    return {}
