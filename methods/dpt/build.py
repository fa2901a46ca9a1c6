"""A frozen teacher as a network that is evaluated."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.teacher import Teacher


def network(args: Namespace, *, pretrained: bool = False) -> Teacher:
    """The teacher that --model-load names: dpt-hybrid and its like, hf:<id>, or a file where it says or below the runs.

    Raises:
        UserError: when there is none, or its weights are missing, damaged or of another network.
    """
    from models import build_teacher

    below = Path(args.checkpoint_dir) / args.model_load
    elsewhere = below.is_file() and not Path(args.model_load).is_file()
    return build_teacher(str(below) if elsewhere else args.model_load)
