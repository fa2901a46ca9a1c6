"""Train depth and segmentation: options in, checkpoints out; see ``python train.py --help``."""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import harness
from errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dataloader.batch import Batch
    from dataloader.loaders import EvaluationData
    from losses import DynamicClassMask, Objective
    from models.prediction import Prediction
    from perspective_resample.views import Views
    from state_manager import RunState
    from visual.report import Report

log = logging.getLogger("train")
DEPTH_MIN_SAMPLING_RES = 10000  # the default of an option that never had an effect


@dataclass(frozen=True)
class Outcome:
    """What one data set gave in one step: loss, named terms, and what pictures are made of."""

    batch: Batch
    prediction: Prediction
    views: Views | None
    keep: Tensor | None
    total: Tensor
    terms: dict[str, Tensor]


def compare(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Batch],
    depth_range: tuple[float, float],
    autocast: Callable[[], contextlib.AbstractContextManager],
    masking: DynamicClassMask | None = None,
) -> list[Outcome]:
    """Forward pass of a training step: predict for all data sets at once, resample, compare.

    Args:
        model: a network with the interface of `models.sgdepth.SGDepth`, in training mode.
        objective: see `losses.build_objective`.
        batches: one per data set.
        depth_range: depth of disparity 1 and 0, metres up to scale.
        autocast: makes the context in which the networks compute.
        masking: given while moving objects are masked; depth data sets are segmented first, in evaluation mode.
    """
    from perspective_resample.views import synthesise, warp_labels

    with autocast():
        segmented = [_segment(model, batch) if masking and batch.spec.purpose == "depth" else {} for batch in batches]
        predictions = model([batch.inputs for batch in batches], [batch.spec.purpose for batch in batches])
    outcomes = []
    for batch, prediction, ids in zip(batches, predictions, segmented, strict=True):
        views = keep = None
        if prediction.disp:
            views = synthesise(prediction.disp, prediction.motion, batch.images, batch.K, batch.inv_K, *depth_range)
        if views and masking and ids:
            size = ids[0].shape[0]
            keep = masking(ids[0], [warp_labels(ids[f], grid[:size]) for f, grid in views.grid.items()])
        total, terms = objective(batch.images, batch.labels, prediction.disp, prediction.logits,
                                 views.color if views else {}, keep)  # fmt: skip
        outcomes.append(Outcome(batch, prediction, views, keep, total, terms))
    return outcomes


def _segment(model: nn.Module, batch: Batch) -> dict[int, Tensor]:
    import torch

    frames = list(batch.inputs)
    ids = model.segment(torch.cat([batch.inputs[frame] for frame in frames]))
    return dict(zip(frames, ids.chunk(len(frames)), strict=True))


def train(args: Namespace) -> int:
    """Run the training; returns the exit code."""
    harness.require_folders(args)
    check_training(args)
    folder = harness.run_folder(args)
    with harness.exclusive(folder):
        return _train(args, folder)


def _train(args: Namespace, folder: Path) -> int:
    import torch

    from dataloader.batch import to_device
    from dataloader.loaders import build_evaluation, build_training
    from losses import build_mask, build_objective
    from models import build_model
    from state_manager import RunState, checkpoints, needs_pretrained, start
    from visual.report import Report

    device = harness.prepare_torch(args, training=True)
    data = build_training(args)
    validation = [*build_evaluation(args, "depth"), *build_evaluation(args, "segmentation")]
    model = build_model(args, pretrained=needs_pretrained(folder, args))
    model = model.to(device).to(memory_format=torch.channels_last)
    objective, masking = build_objective(args).to(device), build_mask(args)
    optimizer = torch.optim.Adam(model.parameters(), args.train_learning_rate, weight_decay=args.train_weight_decay,
                                 fused=True)  # fmt: skip
    gamma = args.train_learning_rate if args.train_scheduler_gamma == "released" else args.train_scheduler_gamma
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, args.train_scheduler_step_size, gamma)
    state = RunState(model, optimizer, scheduler, masking)
    start(state, folder, args)
    harness.write_options(folder, args, "train")
    autocast, depth_range = harness.autocast(args, device), (args.model_depth_min, args.model_depth_max)

    report = Report(folder, args, state)
    with harness.StopRequest() as stop, report, saved_on_error(state, folder, args, report):
        while state.epoch < args.train_num_epochs:
            model.train()
            if masking and not state.batch:
                masking.begin_epoch()
            active = masking if masking and masking.active(state.epoch) else None
            for raw in report.watch(data.epoch(state.epoch, start=state.batch)):
                with report.timed("transfer"):
                    batches = [to_device(part, device) for part in raw]
                with report.timed("forward"):
                    outcomes = compare(model, objective, batches, depth_range, autocast, active)
                with report.timed("optimizer"):
                    optimizer.zero_grad(set_to_none=True)
                    sum(outcome.total for outcome in outcomes).backward()
                    with warmed_up(optimizer, state.step, args.train_warmup_steps):
                        optimizer.step()
                state.batch, state.step = state.batch + 1, state.step + 1
                report.after_step(outcomes)
                if stop.code:
                    report.check_health()
                    report.stopped(state.save(folder, args))
                    return stop.code
            if active:
                report.masking(masking.end_epoch(state.epoch))
            scheduler.step()
            state.epoch, state.batch = state.epoch + 1, 0
            with contextlib.suppress(harness.Stopped):
                validate(model, validation, args, device, autocast, report, stop)
            last = state.epoch == args.train_num_epochs
            if last or stop.code or state.epoch % args.train_checkpoint_frequency == 0:
                report.saved(state.save(folder, args))
            if stop.code:
                return stop.code
        if not args.train_num_epochs and not checkpoints(folder):
            report.saved(state.save(folder, args))
    data.close()
    return 0


@contextlib.contextmanager
def warmed_up(optimizer: torch.optim.Optimizer, step: int, steps: int) -> Iterator[None]:
    """Scale the learning rate inside by (step + 1) / steps until it is whole; outside it is that of the schedule."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate * min(1.0, (step + 1) / max(steps, 1))
    yield
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


@contextlib.contextmanager
def saved_on_error(state: RunState, folder: Path, args: Namespace, report: Report) -> Iterator[None]:
    """Save the run when a mistake of the user's, such as a damaged image, ends it between two checkpoints."""
    try:
        yield
    except UserError:
        if state.step > state.saved_step:
            with contextlib.suppress(UserError):
                report.check_health()
                report.stopped(state.save(folder, args))
        raise


def validate(
    model: nn.Module,
    sets: Sequence[EvaluationData],
    args: Namespace,
    device: torch.device,
    autocast: Callable[[], contextlib.AbstractContextManager],
    report: Report,
    stop: harness.StopRequest,
) -> None:
    """Measure depth and segmentation of all validation sets and note the results.

    Raises:
        harness.Stopped: when a signal comes in between; the set at hand is not noted.
    """
    from dataloader.batch import to_device
    from evaluation.depth import evaluate_depth
    from evaluation.segmentation import evaluate_segmentation

    def predict(image: Tensor) -> Prediction:
        with autocast():
            return model.predict(image)

    model.eval()
    for data in sets:
        batches = (to_device(raw, device) for raw in stop.interruptible(data))
        if data.spec.purpose == "depth":
            result = evaluate_depth(predict, batches, depth_min=args.model_depth_min, depth_max=args.model_depth_max,
                                    fixed_scaling=args.depth_validation_fixed_scaling)  # fmt: skip
        else:
            result = evaluate_segmentation(predict, batches)
        report.validation(data.spec.domain, result.scalars())


def check_training(args: Namespace) -> None:
    """What only training can get wrong.

    Raises:
        UserError: naming the options.
    """
    if args.masking_enable and not args.segmentation_training_loaders:
        raise UserError("--masking-enable: needs a trained segmentation; name --segmentation-training-loaders")
    if args.depth_min_sampling_res != DEPTH_MIN_SAMPLING_RES:
        log.warning("--depth-min-sampling-res %d has no effect; every resolution is compared at full size",
                    args.depth_min_sampling_res)  # fmt: skip
    wrong = [ident for ident in args.masking_classes if not 0 <= ident < args.model_num_classes]
    if args.masking_enable and wrong:
        raise UserError(f"--masking-classes {wrong[0]}: not a class of this network; give ids of 0 to "
                        f"{args.model_num_classes - 1}")  # fmt: skip


if __name__ == "__main__":
    harness.main("train", train)
