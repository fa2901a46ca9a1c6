"""What is validated after the epochs where nobody said, and what the recipe names is not there."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from errors import UserError

from .catalog import DATASETS, LOADERS, LoaderSpec, Purpose, find_loader
from .layouts.kitti import KNOWN_FRAMES, find_split
from .samples import Request
from .splits import cache_folder_of, resolve, with_truth

log = logging.getLogger(__name__)


def settle_validation(args: Namespace, purposes: Iterable[Purpose]) -> None:
    """Let `args` name validation loaders that are there, for the purposes for which nobody has named one.

    A default whose lists are absent gives way to the validation part of what is trained on, and that, where it cannot
    be used, to none; one warning says which. So does every default where own data keep a part for validation, which is
    no reason to warn as long as it can be used: its depth, or else, of video, how far neighbours explain a frame.
    """
    trained = [name for option, names in vars(args).items() if option.endswith("_training_loaders") for name in names]
    if not (os.path.isdir(args.dataset_dir) or all(map(_is_own, trained))):
        return  # which is told as a mistake
    if any(map(_is_own, trained)) and not os.path.exists(args.data_folder):
        return  # likewise
    for purpose in purposes:
        option = f"{purpose}_validation_loaders"
        wanted = getattr(args, option)
        own = purpose == "depth" and args.data_validation_share and all(map(_is_own, args.depth_training_loaders))
        named = () if own else wanted
        there = tuple(name for name in named if _has_lists(find_loader(purpose, name), args.dataset_dir))
        if option in args.said or there == wanted:
            continue
        chosen = there or tuple(islice(_usable(args, purpose), 1))
        setattr(args, option, chosen)
        told = f"{', '.join(chosen)} is measured" if chosen else "nothing is measured after the epochs"
        if not own:
            told = f"and {' and '.join(name for name in wanted if name not in there)} is not there; {told}"
        elif not chosen:
            told = f"and the part of own data that is kept for it holds nothing to measure by; {told}"
        level = logging.INFO if own and chosen else logging.WARNING
        log.log(level, "--%s: not given, %s", option.replace("_", "-"), told)


def _is_own(name: str) -> bool:
    return name.startswith("folder_")


def _has_lists(spec: LoaderSpec, dataset_dir: str) -> bool:
    if spec.dataset == "folder":
        return True
    if not dataset_dir:
        return False
    if spec.dataset != "kitti":
        return Path(dataset_dir, DATASETS[spec.dataset].folder).is_dir()
    request = Request(spec=spec, dataset_dir=Path(dataset_dir))
    return (spec.split, spec.part) in KNOWN_FRAMES or find_split(request) is not None


def _usable(args: Namespace, purpose: Purpose) -> Iterator[str]:
    """Validation parts of the data sets that are trained on, where they are there with ground truth."""
    for name in getattr(args, f"{purpose}_training_loaders"):
        trained = find_loader(purpose, name, training=True)
        for spec in LOADERS.values():
            same = (spec.dataset, spec.split, spec.purpose) == (trained.dataset, trained.split, purpose)
            same &= trained.video or spec.truth != "neighbours"
            if same and spec.part == "validation" and _has_lists(spec, args.dataset_dir):
                try:
                    own = {name: getattr(args, name) for name in ("data_folder", "data_validation_share")}
                    if spec.video:  # which needs what the lens is like and where neighbours are
                        own |= {"data_intrinsics": args.data_intrinsics, "frame_step": args.frame_step}
                    options = {"depth_gt": args.depth_gt, "cache_folder": cache_folder_of(args), "drop": True}
                    with_truth(spec, resolve(spec, args.dataset_dir, **own, **options))
                except UserError as error:
                    log.debug("%s: %s", spec.name, error)
                    continue
                yield spec.name
