"""A frozen teacher as a network that is evaluated."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.teacher import Teacher


def network(args: Namespace, *, pretrained: bool = False) -> Teacher:
    """The teacher that --model-path or --model-load names: dpt-hybrid and its like, hf:<id>, or a file.

    Files of --model-load lie where it says or below the runs. What is missing is fetched with --fetch.

    Raises:
        UserError: when there is none, or its weights are missing, damaged or of another network.
    """
    from models import build_teacher

    name = getattr(args, "model_path", "") or args.model_load
    below = Path(args.checkpoint_dir) / name
    elsewhere = below.is_file() and not Path(name).is_file()
    return build_teacher(str(below) if elsewhere else name, fetch=args.fetch)
