"""Train a method: options in, checkpoints out; see ``python train.py --help``."""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arguments
import harness
from engine.launch import started_by_torchrun
from errors import UserError
from methods import METHODS

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dataloader.loaders import EvaluationData, TrainingData
    from engine.bad_steps import BadSteps
    from engine.keeping import Keep
    from engine.run_state import RunState
    from engine.stopping import StopRequest
    from engine.updates import Updates
    from evaluation.depth import DepthResult
    from evaluation.segmentation import SegmentationResult
    from methods.method import Task, Training
    from methods.video.held_out import Explained
    from models.prediction import Prediction
    from visual.report import Report

log = logging.getLogger("train")


def train(args: Namespace) -> int:
    """Run the training; returns the exit code."""
    from dataloader.fallback import settle_validation
    from methods.video.own_frames import take_own_frames

    take_own_frames(args)
    settle_validation(args, [purpose for purpose in ("depth", "segmentation") if purpose in METHODS[args.method].tasks])
    harness.require_folders(args)
    folder = harness.run_folder(args)
    with harness.exclusive(folder):
        return _train(args, folder)


def _train(args: Namespace, folder: Path) -> int:
    from dataloader.prefetch import on_device
    from engine import ranks
    from engine.rescue import saved_on_error
    from engine.stopping import StopRequest

    run = prepare(args, folder)
    state, training, updates, bad_steps, report = run.state, run.training, run.updates, run.bad_steps, run.report
    unfinished = partial(drop_unfinished, state, updates, training, bad_steps)
    with StopRequest() as stop, report, saved_on_error(state, unfinished, folder, report.stopped, run.data.close):
        while state.epoch < args.train_num_epochs:
            run.model.train()
            training.begin_epoch(state.epoch, state.batch)
            updates.begin_epoch(state.batch)
            bad_steps.statistics.keep()
            steps = report.watch(ranks.in_lockstep(run.data.epoch(state.epoch, start=state.batch)))
            for batches in on_device(steps, run.device, partial(report.timed, "transfer")):
                with updates.collecting(run.network, state.batch):
                    with report.timed("forward"):
                        outcomes = training.step(run.network, batches, state.epoch, state.batch)
                    with report.timed("optimizer"):
                        changed = updates(bad_steps.weigh(outcomes), state.epoch, state.batch)
                if changed:
                    ranks.average_batchnorm_statistics(run.model)
                    training.after_step(bad_steps.settle(updates.finite))
                state.batch, state.step = state.batch + 1, state.step + 1
                report.after_step(outcomes)
                bad_steps.check()
                if (state.batch - 1) % args.train_print_frequency == 0:
                    updates.check()
                if changed and (code := stop.requested()):
                    bad_steps.require_sound()
                    report.stopped(state.save(folder))
                    return code
            bad_steps.require_sound()
            updates.check()
            report.epoch(training.end_epoch(state.epoch))
            state.epoch, state.batch, state.validation = state.epoch + 1, 0, {}
            updates.schedule.set(state.epoch, 0)
            validate(run, args, stop)
            code, last = stop.requested(), state.epoch == args.train_num_epochs
            if last or code or state.epoch % args.train_checkpoint_frequency == 0:
                save(run, folder)
            if code:
                return code
        if not args.train_num_epochs and run.untouched:
            report.saved(state.save(folder))
        bad_steps.require_some()
        updates.require_some()
    run.data.close()
    return 0


@dataclass(frozen=True, kw_only=True)
class Run:
    """All that the loop of a training works with.

    network:    `model`, wrapped in DDP where there are several ranks
    validation: sets that are judged after every epoch
    untouched:  the run had no checkpoint when it began
    """

    model: nn.Module
    network: nn.Module
    device: torch.device
    precision: Callable[[], contextlib.AbstractContextManager]
    training: Training
    data: TrainingData
    validation: Sequence[EvaluationData]
    updates: Updates
    state: RunState
    bad_steps: BadSteps
    report: Report
    keep: Keep
    untouched: bool


def prepare(args: Namespace, folder: Path) -> Run:
    """Check options, find data, build the network and bring the run to where it begins, the same on all ranks.

    Raises:
        UserError: when something is missing or does not fit.
    """
    import methods
    import state_manager
    from dataloader.loaders import build_evaluation, build_training
    from engine import ranks
    from engine.bad_steps import BadSteps
    from engine.device import autocast, memory_in_use, prepare_torch
    from engine.run_folder import refuse_used, tell_of_namesakes
    from engine.run_state import RunState
    from engine.updates import build_updates
    from methods.truth import look_at_truth
    from storage.atomic import write_whole
    from visual.report import Report

    method, building, rank = METHODS[args.method], methods.building(args.method), ranks.rank_and_size()
    with ranks.raising_on_all_ranks():
        refuse_used(folder, args)
        tell_of_namesakes(folder, args)
        stored = state_manager.settle_network(folder, args)
        check(args, building.check)
        judged = [purpose for purpose in ("depth", "segmentation") if purpose in method.tasks]
        keep = what_stays(args, judged)
        makers = building.items(args)
        device = prepare_torch(args, training=True)
        data = build_training(args, makers, rank)
        with ranks.local_rank_0_first():
            model = _model(args, state_manager.needs_pretrained(folder, args, stored), device)
            precision, open_teacher = autocast(args, device), state_manager.teacher_door(args, device)
            training = methods.training(args.method).training(args, model, open_teacher, precision)
        chosen = getattr(model, "input_filter", "bilinear")
        sets = [build_evaluation(args, purpose, rank, filter=chosen) for purpose in judged]
        validation = [*chain.from_iterable(sets)]
        look_at_truth(args, validation)
        tell_protocols(args, validation)
        updates = build_updates(args, training.groups, device)
        options = state_manager.compared_options(args, data.lengths)
        parts = training.parts | updates.parts
        state = RunState(model, updates.optimizer, updates.schedule, parts, args.method, options)
        state_manager.start(state, folder, args, stored)
        untouched = not state_manager.checkpoints(folder)
        harness.write_options(folder, args, "train")
    require_equal(state, data)
    partly_idle = len({each.spec.purpose for each in data.datasets}) < len(makers)
    memory = partial(memory_in_use, device)
    return Run(
        model=model,
        network=_wrapped(args, model, device, partly_idle),
        device=device,
        precision=precision,
        training=training,
        data=data,
        validation=validation,
        updates=updates,
        state=state,
        bad_steps=BadSteps(
            state, folder, arguments.as_table(args), args.train_max_bad_steps, method.tasks, write_whole
        ),
        report=Report(folder, args, state, rank, ranks.all_reduce_mean, updates.schedule.rates, memory),
        keep=keep,
        untouched=untouched,
    )


def _model(args: Namespace, pretrained: bool, device: torch.device) -> nn.Module:
    import torch

    from methods import building

    model = building(args.method).network(args, pretrained=pretrained)
    if args.train_sync_batchnorm and started_by_torchrun():
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(device).to(memory_format=torch.channels_last)


def _wrapped(args: Namespace, model: nn.Module, device: torch.device, partly_idle: bool) -> nn.Module:
    """The network as steps call it: compiled where that is asked for, and in DDP where there are several ranks."""
    import torch

    from engine import ranks
    from engine.device import require_compiler

    if args.train_compile:
        require_compiler("--train-compile", device)
        model.compile(dynamic=False)
        # Graphs cut up for DistributedDataParallel gave gradients of the shared encoder that were 2 % off (torch 2.15).
        torch._dynamo.config.optimize_ddp = False
    return ranks.wrap_in_ddp(model, partly_idle=partly_idle)


def save(run: Run, folder: Path) -> None:
    """Write a checkpoint after an epoch; those that do not stay go."""
    saved = run.state.save(folder)
    run.report.saved(saved)
    if run.report.first:
        run.report.tidied(run.keep.tidy(saved))


def check(args: Namespace, check_method: Callable[[Namespace], None]) -> None:
    """What only training can get wrong, whatever the method.

    Raises:
        UserError: naming the options.
    """
    from dataloader.catalog import find_loader
    from methods.video.teaching import check_teaching

    check_method(args)
    if hasattr(args, "teacher_loss_weight"):
        check_teaching(args)
    for name in args.depth_validation_loaders:
        truth = find_loader("depth", name).truth
        if truth == "neighbours" and "pose" not in METHODS[args.method].tasks:
            raise UserError(
                f"--depth-validation-loaders {name}: it has no depth, and --method {args.method} learns no motion to "
                "explain its frames by; leave it out"
            )
        if truth == "server":
            raise UserError(
                f"--depth-validation-loaders {name}: its truth is on a server alone; leave it out, eval_depth.py makes "
                "the files to upload"
            )
    falls = args.train_scheduler in ("cosine", "sqrt")
    if falls and 0 < args.train_num_epochs <= args.train_final_epochs:
        log.warning(
            "--train-final-epochs %d: the run has %d epochs, and the learning rate falls until its end; as many epochs "
            "more would have the last rate",
            args.train_final_epochs,
            args.train_num_epochs,
        )
    if args.train_sync_batchnorm and not started_by_torchrun():
        log.warning("--train-sync-batchnorm: without effect on one process; torchrun starts several")
    elif args.train_sync_batchnorm:
        from engine.device import uses_gpu

        if not uses_gpu(args):
            raise UserError("--train-sync-batchnorm: PyTorch has it on CUDA GPUs only; pass --no-train-sync-batchnorm")


def what_stays(args: Namespace, purposes: Sequence[Task]) -> Keep:
    """Which checkpoints --keep leaves.

    Raises:
        UserError: when it names a metric or a loader that validation does not have.
    """
    from dataloader.catalog import find_loader
    from engine.keeping import build_keep
    from evaluation.boundaries import BOUNDARIES

    named = [(purpose, name) for purpose in purposes for name in getattr(args, f"{purpose}_validation_loaders")]
    keep = build_keep(args.keep, [find_loader(purpose, name) for purpose, name in named])
    for best in keep.best:
        if best.metric in BOUNDARIES and "boundaries" not in args.metrics:
            raise UserError(f"--keep best={best.metric}: validation tells it with --metrics boundaries; add that")
    return keep


def require_equal(state: RunState, data: TrainingData) -> None:
    """Check that all ranks begin at the same step and have the same data.

    Raises:
        UserError: naming the option.
    """
    from engine import ranks

    ranks.require_equal(
        "--checkpoint-dir: the processes found different checkpoints in it; name a folder that all machines share",
        state.epoch,
        state.batch,
        state.step,
    )
    ranks.require_equal(
        "--dataset-dir: the processes found different numbers of samples in it; give all machines the same files",
        *data.lengths,
    )


def drop_unfinished(state: RunState, updates: Updates, training: Training, bad_steps: BadSteps) -> None:
    """Take the run back to its latest step, as if the batches since then had not been seen.

    Raises:
        UserError: when what is left is not worth a checkpoint.
    """
    number = updates.unfinished
    state.batch, state.step = state.batch - number, state.step - number
    bad_steps.drop_unfinished()
    training.drop_unfinished()
    bad_steps.require_sound()


def tell_protocols(args: Namespace, sets: Sequence[EvaluationData]) -> None:
    """Say what is judged otherwise than usual."""
    from evaluation.protocols import build_protocol

    for data in sets:
        if data.spec.protocol:
            protocol = build_protocol(args, data.spec.protocol)
            if protocol.name != data.spec.protocol:
                log.info("  - %s: judged by %s (usual: %s)", data.spec.name, protocol.name, data.spec.protocol)


def validate(run: Run, args: Namespace, stop: StopRequest) -> None:
    """Measure depth and segmentation of all validation sets, shared among the ranks, and note the results.

    Where a signal comes in between, the set at hand and those behind it are left out.
    """
    from engine.stopping import Stopped

    run.model.eval()
    try:
        for data in run.validation:
            result, about = judge(run, data, args, stop)
            noted = {"metrics": result.metrics, "images": len(result.names), "protocol": about}
            run.state.validation[data.spec.domain] = noted
            run.report.validation(data.spec.domain, result.scalars())
    except Stopped:
        log.info("stopped; the validation of epoch %d is left out", run.state.epoch)


def judge(
    run: Run, data: EvaluationData, args: Namespace, stop: StopRequest
) -> tuple[DepthResult | SegmentationResult | Explained, dict[str, Any]]:
    """Result of one validation set, and what metrics.json would say of how it was judged.

    Raises:
        Stopped: when a signal comes in between.
    """
    from dataloader.prefetch import stream
    from evaluation.depth import judge_depth
    from evaluation.protocols import build_protocol, segmentation_protocol
    from evaluation.segmentation import evaluate_segmentation
    from methods.video.held_out import explain
    from perspective_resample.input_view import view_of
    from storage.progress import Progress

    purpose = data.spec.purpose

    def predict(image: Tensor) -> Prediction:
        with run.precision():
            return run.model.predict(image, (purpose,))

    def predict_motion(first: Tensor, second: Tensor) -> Tensor:
        with run.precision():
            return run.model.predict_motion(first, second)

    shown = Progress(stop.interruptible(data), "batches", data.spec.domain, len(data), run.report.first)
    batches = stream(shown, run.device)
    if purpose == "segmentation":
        size = (args.segmentation_validation_resize_height, args.segmentation_validation_resize_width)
        result = evaluate_segmentation(predict, batches, everywhere=stop.everywhere)
        return result, segmentation_protocol(ground_truth=f"{data.spec.dataset} labels", size=size)
    if data.spec.truth == "neighbours":
        explained = explain(predict, predict_motion, batches, stop.everywhere)
        return explained, explained.protocol(args.frame_step)
    protocol = build_protocol(args, data.spec.protocol, view_of(run.model, data.spec.dataset))
    result = judge_depth(
        args, predict, batches, protocol, ground_truth=data.truth_kind, network={}, everywhere=stop.everywhere
    )
    return result, result.protocol


if __name__ == "__main__":
    harness.main("train", train)
