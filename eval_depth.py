"""Depth metrics of a trained network; see ``python eval_depth.py --help``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

import harness
from errors import UserError
from harness import open_evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from dataloader.batch import Truth
    from dataloader.loaders import EvaluationData
    from evaluation.depth import DepthResult, OnDepth
    from evaluation.judging import Evaluation


def evaluate(args: Namespace) -> None:
    """Judge the network of --model-load on every loader; print, draw and keep the results."""
    evaluation = open_evaluation(args, "eval_depth", "depth")
    for loader in evaluation.loaders:
        evaluate_loader(args, evaluation, loader)


def evaluate_loader(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> None:
    """Judge the network on one loader; print, draw and keep the results."""
    from evaluation.tables import depth_table, scaling_line
    from visual.pictures import depth_comparison, encode

    def draw(position: int, truth: Truth, depth: Tensor) -> None:
        evaluation.keep_picture(
            loader, position, lambda: encode(depth_comparison(truth.image, depth, truth.depth), ".png")
        )

    if args.method == "dpt":
        result, protocol = _judge_teacher(args, evaluation, loader, draw)
        evaluation.keep_results(loader, result.metrics, result.rows, protocol, result.skipped)
        evaluation.tell(depth_table(result.metrics))
        return
    result, protocol = _judge_network(args, evaluation, loader, draw)
    median, std = result.scaling(first_quarter=args.depth_ratio_on_validation)
    metrics = result.metrics | {"ratio_median": median, "ratio_std": std}
    evaluation.keep_results(loader, metrics, result.rows, protocol, result.skipped)
    evaluation.tell(f"{scaling_line(median, std)}\n\n{depth_table(result.metrics)}")


def _judge_network(
    args: Namespace, evaluation: Evaluation, loader: EvaluationData, draw: OnDepth
) -> tuple[DepthResult, dict[str, object]]:
    from evaluation.depth import evaluate_depth
    from evaluation.protocols import depth_protocol

    size = (args.depth_validation_resize_height, args.depth_validation_resize_width)
    protocol = depth_protocol(
        loader.spec.mask,
        loader.spec.clamp,
        ground_truth=loader.truth_kind,
        size=size,
        fixed_scaling=args.depth_validation_fixed_scaling,
        refinement=evaluation.refine and evaluation.refine.describe(size[0]),
    )
    result = evaluate_depth(
        evaluation.predict_depth,
        evaluation.batches(loader),
        depth_min=args.model_depth_min,
        depth_max=args.model_depth_max,
        fixed_scaling=args.depth_validation_fixed_scaling,
        on_image=draw,
        everywhere=evaluation.everywhere,
    )
    return result, protocol


def _judge_teacher(
    args: Namespace, evaluation: Evaluation, loader: EvaluationData, draw: OnDepth
) -> tuple[DepthResult, dict[str, object]]:
    from evaluation.teacher import evaluate_teacher, teacher_protocol

    habits = evaluation.model.habits
    kind = {"metric": habits.metric, "crop": habits.crop, "fixed_scaling": args.depth_validation_fixed_scaling}
    if args.depth_validation_fixed_scaling and not habits.metric:
        raise UserError(
            f"--depth-validation-fixed-scaling: {args.model_load} knows no metres, its scale and shift are "
            "fitted to every image; leave it out"
        )
    protocol = teacher_protocol(loader.spec, ground_truth=loader.truth_kind, target=habits.target, **kind)
    result = evaluate_teacher(
        evaluation.inverse_depth, evaluation.batches(loader), on_image=draw, everywhere=evaluation.everywhere, **kind
    )
    return result, protocol | {"teacher": evaluation.model.identity}


if __name__ == "__main__":
    harness.main("eval_depth", evaluate)
