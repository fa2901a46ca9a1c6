"""Depth metrics of a trained network; see ``python eval_depth.py --help``."""

from __future__ import annotations

import contextlib
import logging
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import harness
from errors import UserError
from harness import open_evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from dataloader.batch import Truth
    from dataloader.loaders import EvaluationData
    from evaluation.depth import DepthResult, OnDepth
    from evaluation.judging import Evaluation


log = logging.getLogger(__name__)
UPLOADS = "uploads"
"""Folder of predictions that a server judges."""


def evaluate(args: Namespace) -> None:
    """Judge the network of --model-load on every loader; print, draw and keep the results, with one table over all."""
    _check(args)
    evaluation = open_evaluation(args, "eval_depth", "depth")
    from methods.truth import look_at_truth

    look_at_truth(args, evaluation.loaders)
    _tell_of_sizes(args, evaluation)
    entries = {}
    for loader in evaluation.loaders:
        if loader.spec.truth == "server":
            write_uploads(args, evaluation, loader)
            continue
        entries[loader.spec.domain] = evaluate_loader(args, evaluation, loader)
        evaluation.keep_overview(entries)
    evaluation.tell_overview(entries)


def _check(args: Namespace) -> None:
    """Raises `UserError` where a loader has nothing to judge by, or the report cannot be made."""
    from dataloader.catalog import find_loader

    for name in args.depth_validation_loaders:
        if find_loader("depth", name).truth == "neighbours":
            raise UserError(
                f"--depth-validation-loaders {name}: it has no depth; train.py measures it after its epochs, and "
                "folder_test is for own data with depth"
            )
    if args.precision_report and args.sys_compile:
        import torch

        if not hasattr(torch.compiler, "set_stance"):
            raise UserError(
                f"--precision-report with --sys-compile: needs PyTorch 2.6, and this is {torch.__version__}; leave one "
                "of them out"
            )


def _tell_of_sizes(args: Namespace, evaluation: Evaluation) -> None:
    """Warn of a size of images that networks do not ask for which see them as they are."""
    asked = sorted({"depth_validation_resize_height", "depth_validation_resize_width"} & {*args.said})
    if asked and not any(evaluation.view(loader.spec.dataset).resized for loader in evaluation.loaders):
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        log.warning("%s: without effect, this network sees images at their own size", flags)


def evaluate_loader(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> dict[str, Any]:
    """Judge the network on one loader; print, draw and keep the results; gives the entry of metrics.json."""
    from evaluation.depth import judge_depth
    from evaluation.interface import ignore
    from evaluation.protocols import build_protocol
    from evaluation.tables import depth_table, judged_line, scaling_line
    from visual.comparisons import depth_comparison, titled
    from visual.pictures import encode

    def picture(truth: Truth, depth: Tensor, ratio: Tensor | None) -> bytes:
        aligned = depth if ratio is None else (depth * ratio).clamp(*protocol.clamp)
        counted = protocol.counted(truth.depth, truth.image.shape[:2])
        drawn = depth_comparison(truth.image, aligned, truth.depth, counted)
        return encode(titled(drawn, truth.name), ".png")

    def draw(position: int, truth: Truth, *found: Tensor | None) -> None:
        evaluation.keep_picture(loader, position, lambda: picture(truth, *found))

    usual = loader.spec.protocol
    protocol = build_protocol(args, usual, evaluation.view(loader.spec.dataset))

    def judge(judged: Evaluation, on_image: OnDepth = ignore) -> DepthResult:
        return judge_depth(
            args,
            judged.predict_depth,
            judged.batches(loader),
            protocol,
            ground_truth=loader.truth_kind,
            network=judged.description(),
            on_image=on_image,
            everywhere=judged.everywhere,
        )

    result = judge(evaluation, draw)
    metrics, lines = result.metrics, [depth_table(result.metrics)]
    if result.scaled:
        median, std = result.scaling(first_quarter=args.depth_ratio_on_validation)
        metrics |= {"ratio_median": median, "ratio_std": std}
        lines.insert(0, f"{scaling_line(median, std)}\n")
    if protocol.name != usual:
        lines.insert(0, f" Protocol | {protocol.name} (usual for {loader.spec.name}: {usual})")
    entry = evaluation.keep_results(loader, metrics, result.rows, result.protocol, result.skipped)
    evaluation.tell("\n".join((judged_line(loader.spec.name, entry), *lines)))
    if args.precision_report:
        evaluation.tell(_precision_report(args, evaluation, result, judge))
    return entry


def _precision_report(
    args: Namespace, evaluation: Evaluation, result: DepthResult, judge: Callable[[Evaluation], DepthResult]
) -> str:
    """How the metrics of a set change with the precision and with torch.compile; one of both is judged once more."""
    import torch

    from engine.device import autocast_of
    from evaluation.tables import changes_table

    device, asked = next(evaluation.model.parameters()).device, args.train_precision
    exact = asked == "fp32" and not args.sys_compile
    other = replace(evaluation, precision=autocast_of("bf16" if exact else "fp32", device))
    with torch.compiler.set_stance("force_eager") if args.sys_compile else contextlib.nullcontext():
        again = judge(other)
    if exact:
        return changes_table(result.metrics, "bf16", again.metrics)
    return changes_table(again.metrics, asked + ", compiled" * args.sys_compile, result.metrics)


def write_uploads(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> None:
    """Write the predictions of one loader as files for the server that judges them."""
    from evaluation.protocols import build_protocol
    from evaluation.uploads import predicted_counts
    from visual.pictures import encode_counts

    folder = evaluation.folder / UPLOADS / loader.spec.domain
    protocol = build_protocol(args, loader.spec.protocol, evaluation.view(loader.spec.dataset))
    scaling = args.depth_validation_fixed_scaling

    def share() -> int:
        number = 0
        batches = evaluation.batches(loader)
        for name, counts in predicted_counts(evaluation.predict_depth, batches, protocol, fixed_scaling=scaling):
            evaluation.write(folder / f"{name}.png", encode_counts(counts))
            number += 1
        return number

    count = sum(evaluation.everywhere(share))
    evaluation.tell(f"{folder}: {count} files for the server, 16 bit, 1/256 m, up to {protocol.clamp[1]:g} m")


if __name__ == "__main__":
    harness.main("eval_depth", evaluate)
