"""What teachers give to the items of a training: answers that were kept before, and draws of pairs to ask about."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .cache.teacher import GUIDES, LoaderMaps, TeacherCache, image_root, open_cache, open_guides
from .catalog import LoaderSpec
from .samples import Sample


@dataclass(frozen=True)
class Answers:
    """What the items of depth loaders get.

    patches: cache of the teacher of patches, and epochs in which it is read; None without
    guides:  cache of the teacher of whole images, epochs, and number of the maps of an image; None without
    pairs:   epochs in which pairs are drawn
    sources: folder of the data sets, and that of own data
    """

    patches: tuple[TeacherCache, range] | None
    guides: tuple[TeacherCache, range, int] | None
    pairs: range
    sources: tuple[str, str]

    def of(self, spec: LoaderSpec, samples: Sequence[Sample]) -> dict[str, Any]:
        """Arguments of the `TrainingSet` of a loader; raises `UserError` when maps of its samples are missing."""
        root = image_root(spec, *self.sources)
        found: dict[str, Any] = {"pairs": self.pairs}
        if self.patches:
            cache, epochs = self.patches
            found["maps"] = _required(LoaderMaps(cache, spec, root, epochs, number=_first(cache)), samples)
        if self.guides:
            cache, epochs, number = self.guides
            found["guides"] = _required(LoaderMaps(cache, spec, root, epochs, GUIDES, number), samples)
        return found


def open_answers(args: Namespace) -> Answers:
    """What the options name.

    Raises:
        UserError: when a cache does not hold what this training needs.
    """
    taught = taught_epochs(args)
    return Answers(
        patches=_of_patches(args),
        guides=_of_images(args, taught),
        pairs=taught if getattr(args, "teacher_loss", "") == "ranking" else range(0),
        sources=(args.dataset_dir, args.data_folder),
    )


def taught_epochs(args: Namespace) -> range:
    """Epochs in which a teacher of whole images teaches."""
    # Methods that learn from measured depth have no options for it.
    if not getattr(args, "teacher_loss_weight", 0):
        return range(0)
    end = min(args.teacher_until_epoch or args.train_num_epochs, args.train_num_epochs)
    return range(args.teacher_from_epoch, end)


def _of_patches(args: Namespace) -> tuple[TeacherCache, range] | None:
    """What --patch-teacher-cache names, where patches are distilled at all."""
    # SGDEM alone has options for patches.
    if not getattr(args, "patch_distill", False) or args.patch_from_epoch >= args.train_num_epochs:
        return None
    if not args.patch_teacher_cache:
        return None
    cache = open_cache(
        args.patch_teacher_cache,
        size=(args.depth_resize_height, args.depth_resize_width),
        teacher=args.patch_teacher,
        patch_size=args.patch_size,
        enlarge=args.patch_enlarge,
        runs=args.checkpoint_dir,
    )
    return cache, range(args.patch_from_epoch, args.patch_until_epoch)


def _of_images(args: Namespace, epochs: range) -> tuple[TeacherCache, range, int] | None:
    """What --teacher-cache names, where a teacher of whole images teaches at all."""
    if not epochs or not args.teacher_cache:
        return None
    mirrored = args.teacher_gate == "uncertainty"
    size = (args.depth_resize_height, args.depth_resize_width)
    cache = open_guides(
        args.teacher_cache, size=size, teacher=args.teacher, mirrored=mirrored, runs=args.checkpoint_dir
    )
    return cache, epochs, 1 + mirrored


def _first(cache: TeacherCache) -> int | None:
    """How many maps of an image patches are cut from."""
    return 1 if cache.recipe.layout == "image" else None


def _required(maps: LoaderMaps, samples: Sequence[Sample]) -> LoaderMaps:
    maps.require(samples)
    return maps
