"""Train depth and segmentation: options in, checkpoints out; see ``python train.py --help``."""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import arguments
import harness
from errors import UserError, closest

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dataloader.loaders import EvaluationData, TrainingData
    from engine.bad_steps import BadSteps
    from engine.stopping import StopRequest
    from engine.updates import Updates
    from losses import Schedule
    from models.prediction import Prediction
    from state_manager import RunState
    from visual.report import Report

log = logging.getLogger("train")
CITYSCAPES_CLASSES = 20  # with background
DEPTH_MIN_SAMPLING_RES = 10000  # the default of an option that never had an effect


def train(args: Namespace) -> int:
    """Run the training; returns the exit code."""
    harness.require_folders(args)
    check_training(args)
    folder = harness.run_folder(args)
    with harness.exclusive(folder):
        return _train(args, folder)


def _train(args: Namespace, folder: Path) -> int:
    import torch

    from dataloader.loaders import build_evaluation, build_training
    from dataloader.prefetch import on_device
    from engine import ranks
    from engine.bad_steps import BadSteps
    from engine.stopping import Stopped, StopRequest
    from engine.updates import Updates
    from losses import build_objective
    from losses.step import compare
    from models import build_model
    from perspective_resample.views import synthesise
    from state_manager import RunState, checkpoints, needs_pretrained, refuse_used, settle_network, start
    from storage.atomic import write_whole
    from visual.report import Report

    with ranks.raising_on_all_ranks():
        refuse_used(folder, args)
        device = harness.prepare_torch(args, training=True)
        data = build_training(args, ranks.rank_and_size())
        validation = [
            data
            for purpose in ("depth", "segmentation")
            for data in build_evaluation(args, purpose, ranks.rank_and_size())
        ]
        settle_network(folder, args)
        with ranks.local_rank_0_first():
            model = build_model(args, pretrained=needs_pretrained(folder, args))
            if args.train_sync_batchnorm:
                model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
            model = model.to(device).to(memory_format=torch.channels_last)
            objective, schedule = build_objective(args).to(device), open_schedule(args, model, device)
        optimizer = torch.optim.Adam(
            model.parameters(), args.train_learning_rate, weight_decay=args.train_weight_decay, fused=True
        )
        gamma = args.train_learning_rate if args.train_scheduler_gamma == "released" else args.train_scheduler_gamma
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, args.train_scheduler_step_size, gamma)
        updates = Updates(
            optimizer,
            harness.gradient_scaler(args, device),
            warmup=args.train_warmup_steps,
            accumulate=args.train_accumulate,
            batches=args.train_batches_per_epoch,
        )
        state = RunState(model, optimizer, scheduler, schedule.parts | updates.parts, data.lengths)
        start(state, folder, args)
        untouched = not checkpoints(folder)
        harness.write_options(folder, args, "train")
    require_alike(state, data)
    autocast, views_of = harness.autocast(args, device), synthesise
    if args.train_compile:
        model.compile(dynamic=False)
        objective.compile(dynamic=False)
        views_of = torch.compile(synthesise, dynamic=False)
        # Graphs cut up for DistributedDataParallel gave gradients of the shared encoder that were 2 % off (torch 2.15).
        torch._dynamo.config.optimize_ddp = False
    one_task = not (args.depth_training_loaders and args.segmentation_training_loaders)
    network = ranks.wrap_in_ddp(model, partly_idle=one_task)
    resample = partial(views_of, depth_min=args.model_depth_min, depth_max=args.model_depth_max)

    report = Report(folder, args, state, ranks.rank_and_size(), ranks.all_reduce_mean)
    bad_steps = BadSteps(state, folder, arguments.as_table(args), args.train_max_bad_steps, write_whole)
    unfinished = partial(drop_unfinished, state, updates, schedule, bad_steps)
    with StopRequest() as stop, report, saved_on_error(state, unfinished, folder, args, report):
        while state.epoch < args.train_num_epochs:
            model.train()
            (schedule.go_on if state.batch else schedule.begin_epoch)(state.epoch)
            updates.begin_epoch(state.batch)
            bad_steps.statistics.keep()
            steps = report.watch(ranks.in_lockstep(data.epoch(state.epoch, start=state.batch)))
            for batches in on_device(steps, device, partial(report.timed, "transfer")):
                with updates.collecting(network, state.batch):
                    with report.timed("forward"):
                        outcomes = compare(
                            network, objective, batches, resample, autocast, schedule.phase(state.epoch, state.batch)
                        )
                    with report.timed("optimizer"):
                        changed = updates(bad_steps.weigh(outcomes), state.batch, state.step)
                if changed:
                    ranks.average_batchnorm_statistics(model)
                    schedule.after_step(bad_steps.settle(updates.finite))
                state.batch, state.step = state.batch + 1, state.step + 1
                report.after_step(outcomes)
                bad_steps.check()
                if (state.batch - 1) % args.train_print_frequency == 0:
                    updates.check()
                if changed and (code := stop.agreed()):
                    bad_steps.require_sound()
                    report.stopped(state.save(folder, args))
                    return code
            bad_steps.require_sound()
            updates.check()
            report.masking(schedule.end_epoch(state.epoch))
            scheduler.step()
            state.epoch, state.batch = state.epoch + 1, 0
            try:
                validate(model, validation, args, device, autocast, report, stop)
            except Stopped:
                log.info("stopped; the validation of epoch %d is left out", state.epoch)
            code, last = stop.agreed(), state.epoch == args.train_num_epochs
            if last or code or state.epoch % args.train_checkpoint_frequency == 0:
                report.saved(state.save(folder, args))
            if code:
                return code
        if not args.train_num_epochs and untouched:
            report.saved(state.save(folder, args))
    data.close()
    return 0


def require_alike(state: RunState, data: TrainingData) -> None:
    """Check that all processes begin at the same step and have the same data.

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


def open_schedule(args: Namespace, model: nn.Module, device: torch.device) -> Schedule:
    """What begins and ends in the course of this run, with the teachers it needs."""
    from losses import build_schedule

    reached = args.depth_training_loaders and args.patch_from_epoch < args.train_num_epochs
    if not (args.patch_distill and reached):
        return build_schedule(args)
    from models import build_teacher
    from models.self_teacher import KINDS, SelfTeacher
    from state_manager import load_other

    teacher = fixed = None
    if args.patch_teacher != "none" and not args.patch_teacher_cache:
        try:
            teacher = build_teacher(args.patch_teacher, native=True, fetch=True).to(device)
        except UserError as error:
            raise UserError(f"{error}; or pass --patch-teacher none to train without it") from None
    if args.patch_self_teacher not in KINDS:
        fixed = load_other(args, args.patch_self_teacher, device).depth_branch()
    return build_schedule(args, SelfTeacher(model, args.patch_self_teacher, fixed), teacher)


def drop_unfinished(state: RunState, updates: Updates, schedule: Schedule, bad_steps: BadSteps) -> None:
    """Take the run back to its latest step, as if the batches since then had not been seen.

    Raises:
        UserError: when what is left is not worth a checkpoint.
    """
    number = updates.unfinished
    state.batch, state.step = state.batch - number, state.step - number
    bad_steps.drop_unfinished()
    schedule.drop_unfinished()
    bad_steps.require_sound()


@contextlib.contextmanager
def saved_on_error(
    state: RunState, drop_unfinished: Callable[[], None], folder: Path, args: Namespace, report: Report
) -> Iterator[None]:
    """Save the run when a mistake of the user's, such as a damaged image, ends it between two checkpoints."""
    try:
        yield
    except UserError:
        with contextlib.suppress(UserError):
            drop_unfinished()
            if state.step > state.saved_step:
                report.stopped(state.save(folder, args))
        raise


def validate(
    model: nn.Module,
    sets: Sequence[EvaluationData],
    args: Namespace,
    device: torch.device,
    autocast: Callable[[], contextlib.AbstractContextManager],
    report: Report,
    stop: StopRequest,
) -> None:
    """Measure depth and segmentation of all validation sets, shared among the processes, and note the results.

    Raises:
        Stopped: when a signal comes in between; the set at hand is not noted.
    """
    from dataloader.prefetch import stream
    from evaluation.depth import evaluate_depth
    from evaluation.segmentation import evaluate_segmentation

    def predict(purpose: str, image: Tensor) -> Prediction:
        with autocast():
            return model.predict(image, (purpose,))

    model.eval()
    for data in sets:
        batches = stream(stop.interruptible(data), device)
        judged = partial(predict, data.spec.purpose)
        if data.spec.purpose == "depth":
            result = evaluate_depth(
                judged,
                batches,
                depth_min=args.model_depth_min,
                depth_max=args.model_depth_max,
                fixed_scaling=args.depth_validation_fixed_scaling,
                everywhere=stop.everywhere,
            )
        else:
            result = evaluate_segmentation(judged, batches, everywhere=stop.everywhere)
        report.validation(data.spec.domain, result.scalars())


def check_training(args: Namespace) -> None:
    """What only training can get wrong.

    Raises:
        UserError: naming the options.
    """
    check_classes(args)
    if args.patch_distill and args.depth_training_loaders:
        check_patches(args)
    sizes = (args.depth_training_batch_size, args.segmentation_training_batch_size)
    loaders = (args.depth_training_loaders, args.segmentation_training_loaders)
    if args.model_aspp and sum(size * len(names) for size, names in zip(sizes, loaders, strict=True)) < 2:
        raise UserError("--model-aspp: normalises over a batch and needs two images in it; raise the batch size")
    if args.train_sync_batchnorm and not harness.uses_gpu(args):
        raise UserError("--train-sync-batchnorm: PyTorch has it on GPUs only; leave it out")
    warn_of_unused(args)
    if args.depth_min_sampling_res != DEPTH_MIN_SAMPLING_RES:
        log.warning(
            "--depth-min-sampling-res %d has no effect; every resolution is compared at full size",
            args.depth_min_sampling_res,
        )


def warn_of_unused(args: Namespace) -> None:
    """Say which parts of a recipe a training never comes to."""
    begins = {
        "sd_consistency": args.sd_consistency_weight > 0,
        "patch": args.patch_distill,
        "masking": args.masking_enable,
    }
    late = [
        f"--{name.replace('_', '-')}-from-epoch {epoch}"
        for name, wanted in begins.items()
        if wanted and (epoch := getattr(args, f"{name}_from_epoch")) >= args.train_num_epochs
    ]
    if late:
        log.warning("%s: never reached with --train-num-epochs %d", ", ".join(late), args.train_num_epochs)
    if args.train_sync_batchnorm and not harness.among_others():
        log.warning("--train-sync-batchnorm: without effect on one process; torchrun starts several")
    if args.patch_teacher_cache and not args.patch_distill:
        log.warning("--patch-teacher-cache: not used without --patch-distill")


def check_classes(args: Namespace) -> None:
    """What masking and consistency need of the segmentation.

    Raises:
        UserError: naming the options.
    """
    consistency = f"--sd-consistency-weight {args.sd_consistency_weight:g}" if args.sd_consistency_weight > 0 else ""
    asking = {"--masking-enable": "--no-masking-enable"} if args.masking_enable else {}
    asking |= {consistency: "--sd-consistency-weight 0"} if consistency else {}
    if asking and not args.segmentation_training_loaders:
        raise UserError(
            f"{' and '.join(asking)}: a trained segmentation is needed; name "
            f"--segmentation-training-loaders, or pass {' '.join(asking.values())}"
        )
    if consistency and args.model_num_classes != CITYSCAPES_CLASSES:
        raise UserError(
            f"{consistency}: knows the classes of Cityscapes only; pass 0 with --model-num-classes "
            f"{args.model_num_classes}"
        )
    wrong = [ident for ident in args.masking_classes if not 0 <= ident < args.model_num_classes]
    if args.masking_enable and wrong:
        raise UserError(
            f"--masking-classes {wrong[0]}: not a class of this network; give ids of 0 to {args.model_num_classes - 1}"
        )


def check_patches(args: Namespace) -> None:
    """What patch distillation can get wrong before any teacher is loaded.

    Raises:
        UserError: naming the options.
    """
    from losses.patches.selection import Grid
    from models.self_teacher import KINDS

    first, last = args.patch_from_epoch, args.patch_until_epoch
    if first >= last:
        raise UserError(
            f"--patch-from-epoch {first}: must be below --patch-until-epoch {last}; pass "
            "--no-patch-distill to train without patches"
        )
    height, width = args.depth_resize_height, args.depth_resize_width
    grid = Grid.of(height, width, args.patch_size)
    if not grid:
        raise UserError(
            f"--patch-size {grid.size}: no such patch fits into the {height}x{width} network input (it "
            "must be larger than the patch); lower it, raise --depth-resize-*, or pass --no-patch-distill"
        )
    if args.patch_teacher_cache and args.patch_teacher == "none":
        raise UserError(
            f"--patch-teacher-cache {args.patch_teacher_cache}: --patch-teacher is none; give the teacher "
            "the cache was made with, or leave the cache out"
        )
    own = args.patch_self_teacher
    if own not in KINDS and not (Path(args.checkpoint_dir) / own).exists():
        raise UserError(
            f"--patch-self-teacher {own}: no checkpoint of that name, nor one of {', '.join(KINDS)}"
            f"{closest(own, KINDS)}; give one of these or the path of a checkpoint"
        )


if __name__ == "__main__":
    harness.main("train", train)
