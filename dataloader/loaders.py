"""Options to loaders: everything that can be checked before training is checked here."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from errors import UserError

from .batch import RawBatch
from .cache.data import CachedPictures, Picture, pictures_of, provide
from .cache.teacher import LoaderMaps, TeacherCache, image_root, open_cache
from .catalog import LoaderSpec, Purpose, find_loader
from .damage import Damage
from .dataset import ORDER, EvaluationSet, Failure, Key, TrainingSet, stream
from .integrity import find_damaged, needed, without_damaged
from .samples import Sample
from .splits import resolve, truth_kind, with_truth
from .transforms import RESCALE_MAX, smallest_size

log = logging.getLogger(__name__)


class _Order:
    """Lists of keys, one per batch: shuffled anew in every pass over the data set, incomplete batches left out.

    place: number of this process and how many there are; together they draw what one would with the batches of all.
    """

    def __init__(self, data: TrainingSet, batch_size: int, place: tuple[int, int] = (0, 1)):
        self.data, self.batch_size, self.place = data, batch_size, place
        self.epoch = self.start = self.stop = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        rank, processes = self.place
        per_pass = len(self.data) // (self.batch_size * processes)
        number, order = -1, []
        for step in range(self.start, self.stop):
            if step // per_pass != number:
                number = step // per_pass
                rng = stream(self.data.seed, self.data.spec, ORDER, self.epoch, number)
                order = rng.permutation(len(self.data)).tolist()
            first = (step % per_pass * processes + rank) * self.batch_size
            yield [Key(self.epoch, number, index) for index in order[first : first + self.batch_size]]


class TrainingData:
    """All training loaders, drawn from in step.

    Attributes:
        datasets: one `TrainingSet` per loader, depth first, then segmentation, in command-line order
        lengths: number of samples of each
        batches_per_epoch: steps per epoch

    Batch sizes are those of one process, of which `place` names the number and how many there are. Samples that others
    took the place of are noted in `damage`.
    """

    def __init__(
        self,
        datasets: list[TrainingSet],
        batch_sizes: list[int],
        batches_per_epoch: int,
        place: tuple[int, int] = (0, 1),
        damage: Damage | None = None,
        **options: Any,
    ):
        self.datasets = tuple(datasets)
        self.lengths = tuple(len(data) for data in datasets)
        self.batches_per_epoch = batches_per_epoch
        self._damage = damage
        self._orders = [_Order(data, size, place) for data, size in zip(datasets, batch_sizes, strict=True)]
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
            sound = tuple(_checked(batch) for batch in batches)
            if self._damage:
                self._damage.note(damaged for batch in sound for damaged in batch.damaged)
            yield sound

    def close(self) -> None:
        """Ends the workers."""
        self._loaders = []


class EvaluationData:
    """Batches of one evaluation loader, always in the same order; its length counts batches.

    Of several processes each has a run of whole batches, so that none is put together otherwise than by one alone.

    Attributes:
        spec: the loader
        samples: what is evaluated, by all processes
        first: number of the sample with which the batches of this process begin
        skipped: number of frames without ground truth
        truth_kind: what the ground truth is, for metrics.json
    """

    def __init__(
        self,
        data: EvaluationSet,
        batch_size: int,
        skipped: int,
        truth_kind: str,
        place: tuple[int, int] = (0, 1),
        **options: Any,
    ):
        self.spec, self.samples, self.skipped, self.truth_kind = data.spec, data.samples, skipped, truth_kind
        rank, processes = place
        batches = [[*range(len(data))[start : start + batch_size]] for start in range(0, len(data), batch_size)]
        begin, end = (len(batches) * share // processes for share in (rank, rank + 1))
        self.first = begin * batch_size
        self._loader = DataLoader(data, batch_sampler=batches[begin:end], **options)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[RawBatch]:
        """Yields batches; raises `UserError` when a file turns out to be damaged."""
        for batch in self._loader:
            yield _checked(batch)


def build_training(args: Namespace, place: tuple[int, int] = (0, 1)) -> TrainingData:
    """Every loader of --depth-training-loaders and --segmentation-training-loaders.

    place: number of this process and how many there are

    Raises:
        UserError: when a loader is unknown, files are missing or damaged, sizes and batch sizes do not fit the data, or
            a cache cannot be used.
    """
    specs = [
        find_loader(purpose, name, training=True)
        for purpose in ("depth", "segmentation")
        for name in getattr(args, f"{purpose}_training_loaders")
    ]
    sizes = {spec.purpose: _training_sizes(args, spec.purpose) for spec in specs}
    _check_inputs(args)
    cache = _teacher_cache(args) if "depth" in sizes else None
    # Benchmarks have no option for this.
    damage = Damage(args.data_max_errors) if getattr(args, "data_on_error", "stop") == "skip" else None
    datasets: list[TrainingSet] = []
    batch_sizes: list[int] = []
    for spec, (samples, _) in zip(specs, _find(specs, args, damage), strict=True):
        batch_size = getattr(args, f"{spec.purpose}_training_batch_size")
        if batch_size * place[1] > len(samples):
            shared = f" in each of {place[1]} processes" if place[1] > 1 else ""
            raise UserError(
                f"--{spec.purpose}-training-batch-size {batch_size}{shared}: {spec.name} has "
                f"{len(samples)} samples; use a smaller batch or more data"
            )
        log.info("  - Can use %d images from the %s set for %s training", len(samples), spec.domain, spec.purpose)
        size, crop = sizes[spec.purpose]
        maps = None
        if cache and spec.purpose == "depth":
            maps = _maps_of(spec, damage.sound(spec, samples) if damage else samples, cache, args)
        datasets.append(
            TrainingSet(
                spec,
                samples,
                size=size,
                crop=crop,
                seed=args.sys_seed,
                maps=maps,
                jitter=args.train_color_jitter == "on",
                substitutes=damage.limit if damage else 0,
            )
        )
        batch_sizes.append(batch_size)
    if args.data_cache:
        _use_data_cache(datasets, args, damage)
    return TrainingData(datasets, batch_sizes, args.train_batches_per_epoch, place, damage, **_loader_options(args))


def build_evaluation(args: Namespace, purpose: Purpose, place: tuple[int, int] = (0, 1)) -> list[EvaluationData]:
    """One `EvaluationData` per name in --<purpose>-validation-loaders.

    place: number of this process and how many there are

    Raises:
        UserError: when a loader is unknown, files are missing or damaged, or no frame has ground truth.
    """
    specs = [find_loader(purpose, name) for name in getattr(args, f"{purpose}_validation_loaders")]
    size = (getattr(args, f"{purpose}_validation_resize_height"), getattr(args, f"{purpose}_validation_resize_width"))
    batch_size = getattr(args, f"{purpose}_validation_batch_size")
    found = []
    for spec, (samples, skipped) in zip(specs, _find(specs, args), strict=True):
        log.info("  - Can use %d images from the %s set for %s evaluation", len(samples), spec.domain, purpose)
        kind = truth_kind(spec, samples, **_truth_options(args))
        data = EvaluationSet(spec, samples, size=size)
        found.append(EvaluationData(data, batch_size, skipped, kind, place, **_loader_options(args)))
    return found


def _find(specs: list[LoaderSpec], args: Namespace, damage: Damage | None = None) -> list[tuple[list[Sample], int]]:
    """Usable samples of every loader, and how many frames have no ground truth; all files are looked at in one go.

    With `damage`, samples with damaged files are noted there and keep their places.
    """
    # Benchmarks have no option for this.
    drop = getattr(args, "data_on_missing", "stop") == "drop"
    found = []
    for spec in specs:
        samples = resolve(
            spec,
            args.dataset_dir,
            data_folder=args.data_folder,
            data_intrinsics=args.data_intrinsics,
            cache_folder=args.checkpoint_dir,
            drop=drop,
            skip=damage is not None,
            **_truth_options(args),
        )
        kept = with_truth(spec, samples)
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


def _truth_options(args: Namespace) -> dict[str, Any]:
    # Only commands that judge depth have --depth-gt and --as-released.
    return {"depth_gt": getattr(args, "depth_gt", "raw"), "as_released": getattr(args, "as_released", False)}


def _training_sizes(args: Namespace, purpose: Purpose) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) to resize to, and of the crop; raises `UserError` when the crop may not fit."""
    if purpose == "depth":
        return (args.depth_resize_height, args.depth_resize_width), (0, 0)
    size = (args.segmentation_resize_height, args.segmentation_resize_width)
    crop = (args.segmentation_crop_height, args.segmentation_crop_width)
    for side, whole, least, wanted in zip(("height", "width"), size, smallest_size(*size), crop, strict=True):
        if wanted > least:
            raise UserError(
                f"--segmentation-crop-{side} {wanted}: images of --segmentation-resize-{side} {whole} "
                f"shrink by up to {RESCALE_MAX:g}, to {least}; crop at most {least} or resize to at least "
                f"{math.ceil(wanted * RESCALE_MAX)}"
            )
    return size, crop


def _teacher_cache(args: Namespace) -> TeacherCache | None:
    """What --patch-teacher-cache names, where patches are distilled at all."""
    # Benchmarks have no options for patches.
    if not getattr(args, "patch_distill", False) or args.patch_from_epoch >= args.train_num_epochs:
        return None
    if not args.patch_teacher_cache:
        return None
    return open_cache(
        args.patch_teacher_cache,
        size=(args.depth_resize_height, args.depth_resize_width),
        teacher=args.patch_teacher,
        patch_size=args.patch_size,
        enlarge=args.patch_enlarge,
    )


def _maps_of(spec: LoaderSpec, samples: list[Sample], cache: TeacherCache, args: Namespace) -> LoaderMaps:
    """Maps of one loader; raises `UserError` when some are missing."""
    root = image_root(spec, args.dataset_dir, args.data_folder)
    maps = LoaderMaps(cache, spec, root, range(args.patch_from_epoch, args.patch_until_epoch))
    maps.require(samples)
    return maps


def _use_data_cache(datasets: list[TrainingSet], args: Namespace, damage: Damage | None) -> None:
    """Lets data sets read from --data-cache, after what is missing there has been made.

    With `damage`, samples with damaged files are noted there.
    """
    faults: dict[Picture, str] | None = None if damage is None else {}
    wanted = [
        pictures_of(data.spec, data.samples, image_root(data.spec, args.dataset_dir, args.data_folder), data.size)
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
            data.size,
            {name: places[picture] for name, picture in pictures.items() if picture in places},
            {name: faults[picture] for name, picture in pictures.items() if faults and picture in faults},
        )
        if damage and faults:
            damage.note_files(data.spec, data.samples, {picture.path: fault for picture, fault in faults.items()})


def _check_inputs(args: Namespace) -> None:
    if not args.depth_training_loaders and not args.segmentation_training_loaders:
        raise UserError("--depth-training-loaders and --segmentation-training-loaders: both are empty; name a data set")
    if not (args.depth_training_loaders and args.segmentation_training_loaders):
        return
    depth = (args.depth_resize_height, args.depth_resize_width)
    crop = (args.segmentation_crop_height, args.segmentation_crop_width)
    if depth != crop:
        raise UserError(
            f"--depth-resize-height/-width {depth[0]} x {depth[1]} and --segmentation-crop-height/-width "
            f"{crop[0]} x {crop[1]} differ; one network pass takes both, so make them equal"
        )


def _loader_options(args: Namespace) -> dict[str, Any]:
    # Benchmarks and the doctor have no option for the device.
    pinned = torch.cuda.is_available() and not getattr(args, "sys_cpu", False)
    # Others than forked workers, the default of newer Pythons, do not notice that their parent was killed.
    forked = "fork" if args.sys_num_workers and sys.platform == "linux" else None
    # A loader draws a number whenever it begins; from the common stream, a run that goes on would be a number ahead.
    return {
        "num_workers": args.sys_num_workers,
        "collate_fn": _same,
        "worker_init_fn": _start_worker,
        "pin_memory": pinned,
        "generator": torch.Generator(),
        "multiprocessing_context": forked,
    }


def _same(batch: RawBatch | Failure) -> RawBatch | Failure:
    return batch


def _checked(batch: RawBatch | Failure) -> RawBatch:
    if isinstance(batch, Failure):
        raise UserError(batch.sentence)
    return batch


def _start_worker(_: int) -> None:
    """Workers outlive signals to all processes, so that training can finish its step and save; they end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_for_parent, daemon=True).start()
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)


def _end_for_parent() -> None:
    """End at a SIGTERM of the process that started this one; job schedulers send theirs to all processes of a run."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
