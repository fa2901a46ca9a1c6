"""Options to loaders: everything that can be checked before training is checked here."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch.utils.data import DataLoader

from errors import UserError

from .batch import RawBatch
from .cache.data import CachedPictures, Picture, pictures_of, provide
from .cache.teacher import image_root
from .catalog import LOADERS, LoaderSpec, Purpose, find_loader
from .damage import Damage
from .dataset import EvaluationSet, TrainingSet
from .files import image_size
from .given_truth import kind_of
from .integrity import find_damaged, needed, without_damaged
from .items import ItemMaker
from .layouts.folder import tell_own
from .layouts.kitti_files import CACHE_FOLDER
from .measured import Measured
from .order import Order
from .samples import FURTHER, Sample
from .splits import cache_folder_of, resolve, tell_truth, truth_kind, with_truth
from .taught import open_answers
from .transforms import Filter
from .truth import require_cameras, size_doubts, warn_of_unit
from .workers import checked, loader_options

log = logging.getLogger(__name__)


class TrainingData:
    """All training loaders, drawn from in step.

    Attributes:
        datasets: one `TrainingSet` per loader, purpose by purpose, in command-line order
        lengths: number of samples of each
        batches_per_epoch: steps per epoch

    Batch sizes are those of one rank; `rank_of` is this rank and the world size. Replaced samples are in `damage`.
    """

    def __init__(
        self,
        datasets: list[TrainingSet],
        batch_sizes: list[int],
        batches_per_epoch: int,
        rank_of: tuple[int, int] = (0, 1),
        damage: Damage | None = None,
        **options: Any,
    ):
        self.datasets = tuple(datasets)
        self.lengths = tuple(len(data) for data in datasets)
        self.batches_per_epoch = batches_per_epoch
        self._damage = damage
        self._orders = [Order(data, size, rank_of) for data, size in zip(datasets, batch_sizes, strict=True)]
        keep = options.get("num_workers", 0) > 0
        self._loaders = [
            DataLoader(order.data, batch_sampler=order, persistent_workers=keep, **options) for order in self._orders
        ]

    def __len__(self) -> int:
        return self.batches_per_epoch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[RawBatch, ...]]:
        """Steps `start` .. `batches_per_epoch` of an epoch, one batch of every loader each.

        Raises:
            UserError: when a file turns out to be damaged, or too many do.
        """
        for order in self._orders:
            order.epoch, order.start, order.stop = epoch, start, self.batches_per_epoch
        for batches in zip(*self._loaders, strict=True):
            sound = tuple(checked(batch) for batch in batches)
            if self._damage:
                self._damage.note(damaged for batch in sound for damaged in batch.damaged)
            yield sound

    def close(self) -> None:
        """Ends the workers."""
        self._loaders = []


class EvaluationData:
    """Batches of one evaluation loader, always in the same order; its length counts batches.

    Each rank has a run of whole batches, so that the batches are those of a single rank.

    Attributes:
        spec: the loader
        samples: what is evaluated, by all ranks
        first: number of the sample with which the batches of this rank begin
        skipped: number of frames without ground truth
        truth_kind: what the ground truth is, for metrics.json
    """

    def __init__(
        self,
        data: EvaluationSet,
        batch_size: int,
        skipped: int,
        truth_kind: str,
        rank_of: tuple[int, int] = (0, 1),
        **options: Any,
    ):
        self.spec, self.samples, self.skipped, self.truth_kind = data.spec, data.samples, skipped, truth_kind
        rank, world_size = rank_of
        batches = [[*range(len(data))[start : start + batch_size]] for start in range(0, len(data), batch_size)]
        begin, end = (len(batches) * share // world_size for share in (rank, rank + 1))
        self.first = begin * batch_size
        self._loader = DataLoader(data, batch_sampler=batches[begin:end], **options)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[RawBatch]:
        """Yields batches; raises `UserError` when a file turns out to be damaged."""
        for batch in self._loader:
            yield checked(batch)


def build_training(
    args: Namespace, makers: Mapping[Purpose, ItemMaker], rank_of: tuple[int, int] = (0, 1)
) -> TrainingData:
    """Every loader of --<purpose>-training-loaders, for all purposes that a method has items for.

    Args:
        args: options of training
        makers: what makes the items, by purpose, in the order in which a step has its batches
        rank_of: rank of this process and world size

    Raises:
        UserError: when a loader is unknown, files are missing or damaged, batch sizes do not fit the data, or a cache
            cannot be used.
    """
    specs = [
        find_loader(purpose, name, training=True)
        for purpose in makers
        for name in getattr(args, f"{purpose}_training_loaders")
    ]
    if not specs:
        flags = [f"--{purpose}-training-loaders" for purpose in makers]
        raise UserError(f"{' and '.join(flags)}: {'both are' if len(flags) > 1 else 'is'} empty; name a data set")
    for spec in specs:
        _require_kind(spec, makers[spec.purpose])
    answers = open_answers(args) if any(spec.purpose == "depth" for spec in specs) else None
    damage = Damage(args.data_max_errors) if args.data_on_error == "skip" else None
    datasets: list[TrainingSet] = []
    batch_sizes: list[int] = []
    further = [kind for kind in FURTHER if any(getattr(maker, kind, False) for maker in makers.values())]
    for spec, (samples, _) in zip(specs, _find(specs, args, damage, further), strict=True):
        batch_size = getattr(args, f"{spec.purpose}_training_batch_size")
        if batch_size * rank_of[1] > len(samples):
            shared = f" in each of {rank_of[1]} processes" if rank_of[1] > 1 else ""
            raise UserError(
                f"--{spec.purpose}-training-batch-size {batch_size}{shared}: {spec.name} has "
                f"{len(samples)} samples; use a smaller batch or more data"
            )
        log.info("  - Can use %d images from the %s set for %s training", len(samples), spec.domain, spec.purpose)
        tell_own(spec, samples, makers[spec.purpose].size if spec.video else ())
        if isinstance(makers[spec.purpose], Measured):
            sound = damage.sound(spec, samples) if damage else samples
            _look_at_measured(spec, sound, makers[spec.purpose], skip=damage is not None)
        taught = {}
        if answers and spec.purpose == "depth":
            taught = answers.of(spec, damage.sound(spec, samples) if damage else samples)
        datasets.append(
            TrainingSet(
                spec,
                samples,
                makers[spec.purpose],
                seed=args.sys_seed,
                substitutes=damage.limit if damage else 0,
                **taught,
            )
        )
        batch_sizes.append(batch_size)
    if args.data_cache:
        _use_data_cache(datasets, args, damage)
    return TrainingData(datasets, batch_sizes, args.train_batches_per_epoch, rank_of, damage, **loader_options(args))


def build_evaluation(
    args: Namespace, purpose: Purpose, rank_of: tuple[int, int] = (0, 1), *, filter: Filter = "bilinear"
) -> list[EvaluationData]:
    """One `EvaluationData` per name in --<purpose>-validation-loaders.

    Args:
        args: options of a command that evaluates
        purpose: what is evaluated
        rank_of: rank of this process and world size
        filter: what the network wants its images resampled with

    Raises:
        UserError: when a loader is unknown, files are missing or damaged, or no frame has ground truth.
    """
    truth = _truth_options(args)
    specs = [
        find_loader(purpose, name).judged_with(kind_of(truth["depth_gt"]))
        for name in getattr(args, f"{purpose}_validation_loaders")
    ]
    size = (getattr(args, f"{purpose}_validation_resize_height"), getattr(args, f"{purpose}_validation_resize_width"))
    batch_size = getattr(args, f"{purpose}_validation_batch_size")
    found = []
    for spec, (samples, skipped) in zip(specs, _find(specs, args), strict=True):
        require_cameras(samples)
        for doubt in size_doubts(samples):
            log.warning("%s", doubt)
        log.info("  - Can use %d images from the %s set for %s evaluation", len(samples), spec.domain, purpose)
        if told := tell_truth(spec, truth["depth_gt"]):
            log.info("  - %s", told)
        tell_own(spec, samples)
        kind = truth_kind(spec, samples, **truth)
        if spec.dataset == "folder" and not spec.without_truth:
            unit = truth["data_depth_unit"]
            usual = "1/256 m per count (PNG) and in metres (.npy); --data-depth-unit says otherwise"
            log.info("  - %s: depth files are read in %s", spec.name, f"{unit:g} m per count" if unit else usual)
        _tell_cache(args, spec, samples)
        data = EvaluationSet(spec, samples, size=size, filter=filter)
        found.append(EvaluationData(data, batch_size, skipped, kind, rank_of, **loader_options(args, evaluation=True)))
    return found


def _require_kind(spec: LoaderSpec, maker: ItemMaker) -> None:
    """Raises `UserError` where videos are given to what learns from measured depth, or the other way round."""
    measured = isinstance(maker, Measured)
    if spec.purpose != "depth" or measured == spec.needs_truth:
        return
    given, wanted = "video", "single images with their measured depth"
    if not measured:
        given, wanted = wanted, given
    fitting = [
        each.name
        for each in LOADERS.values()
        if each.purpose == "depth" and each.training and each.needs_truth == measured
    ]
    raise UserError(
        f"--depth-training-loaders {spec.name}: it has {given}, and this method learns from {wanted}; choose from "
        f"{', '.join(fitting)}"
    )


def _look_at_measured(spec: LoaderSpec, samples: Sequence[Sample], maker: Measured, skip: bool) -> None:
    """Warn of depth in a doubtful unit, and say how many samples have the further maps that are asked for.

    skip: pass over maps that turn out damaged, for which training takes other samples

    Raises:
        UserError: when the first image has no room for the crop.
    """
    for sample in samples[:1]:
        maker.window(sample, image_size(sample.images[0]))
    warn_of_unit(spec.name, samples, maker.depth_max, skip)
    for kind, what in FURTHER.items():
        if getattr(maker, kind):
            count = sum(getattr(sample, kind) is not None for sample in samples)
            log.info("  - %s: %d of %d images have %s beside their truth", spec.name, count, len(samples), what)


def _find(
    specs: list[LoaderSpec], args: Namespace, damage: Damage | None = None, further: Sequence[str] = ()
) -> list[tuple[list[Sample], int]]:
    """Usable samples of every loader, and how many frames have no ground truth; all files are looked at in one go.

    With `damage`, samples with damaged files are noted there and keep their places. Samples have those FURTHER maps
    that are named.
    """
    unused = {kind: None for kind in FURTHER if kind not in further}
    drop = args.data_on_missing == "drop"
    found = []
    for spec in specs:
        samples = resolve(
            spec,
            args.dataset_dir,
            data_folder=args.data_folder,
            data_intrinsics=args.data_intrinsics,
            data_validation_share=args.data_validation_share,
            frame_step=getattr(args, "frame_step", 1),  # of training alone
            cache_folder=cache_folder_of(args),
            drop=drop,
            skip=damage is not None,
            ends=getattr(args, "pose_windows", "whole") == "all",
            **_truth_options(args),
        )
        kept = [replace(each, **unused) if each.dense or each.base else each for each in with_truth(spec, samples)]
        found.append((kept, len(samples) - len(kept)))
    faults = find_damaged(path for samples, _ in found for sample in samples for path in needed(sample))
    if damage and not drop:
        for spec, (samples, _) in zip(specs, found, strict=True):
            damage.note_files(spec, samples, faults)
        return found
    return [
        (without_damaged(spec, samples, faults, drop), skipped)
        for spec, (samples, skipped) in zip(specs, found, strict=True)
    ]


def _tell_cache(args: Namespace, spec: LoaderSpec, samples: list[Sample]) -> None:
    """Says where depth maps are kept that are projected from laser scans, and makes the folder that was asked for."""
    if not any(sample.depth and sample.depth.cache for sample in samples):
        return
    folder = f"{cache_folder_of(args)}/{CACHE_FOLDER}"
    if getattr(args, "cache_dir", ""):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as fault:
            raise UserError(
                f"--cache-dir {args.cache_dir}: {folder} cannot be made ({fault.strerror}); name a folder that can be "
                "written"
            ) from fault
    log.info("  - %s: depth maps of laser scans are kept in %s", spec.name, folder)


def _truth_options(args: Namespace) -> dict[str, Any]:
    # Only commands that judge depth have these.
    usual = {"depth_gt": "raw", "as_released": False, "depth_camera": "protocol"}
    found = {name: getattr(args, name, default) for name, default in usual.items()}
    return {"data_depth_unit": args.data_depth_unit, **found}


def _use_data_cache(datasets: list[TrainingSet], args: Namespace, damage: Damage | None) -> None:
    """Lets data sets read from --data-cache, after what is missing there has been made.

    With `damage`, samples with damaged files are noted there.
    """
    faults: dict[Picture, str] | None = None if damage is None else {}
    wanted = [
        pictures_of(
            data.spec,
            data.samples,
            image_root(data.spec, args.dataset_dir, args.data_folder),
            data.maker.size,
            data.maker.filter,
        )
        for data in datasets
    ]
    places = provide(
        args.data_cache,
        dict.fromkeys(picture for pictures in wanted for picture in pictures.values()),
        threads=os.cpu_count() or 1,
        tell=lambda text: log.info("  - %s", text),
        faults=faults,
    )
    for data, pictures in zip(datasets, wanted, strict=True):
        data.pictures = CachedPictures(
            args.data_cache,
            data.maker.size,
            data.maker.filter,
            {name: places[picture] for name, picture in pictures.items() if picture in places},
            {name: faults[picture] for name, picture in pictures.items() if faults and picture in faults},
        )
        if damage and faults:
            damage.note_files(data.spec, data.samples, {picture.path: fault for picture, fault in faults.items()})
