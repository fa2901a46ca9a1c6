"""Depth metrics of a trained network; see ``python eval_depth.py --help``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

import harness
from harness import Evaluation, open_evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from dataloader.batch import Truth
    from dataloader.loaders import EvaluationData


def evaluate(args: Namespace) -> None:
    """Judge the network of --model-load on every loader; print, draw and keep the results."""
    evaluation = open_evaluation(args, "eval_depth", "depth")
    for loader in evaluation.loaders:
        _evaluate_loader(args, evaluation, loader)


def _evaluate_loader(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> None:
    from evaluation.depth import evaluate_depth
    from evaluation.protocols import depth_protocol
    from evaluation.tables import depth_table, scaling_line
    from visual.pictures import depth_comparison

    spec = loader.spec
    size = (args.depth_validation_resize_height, args.depth_validation_resize_width)
    protocol = depth_protocol(spec.mask, spec.clamp, ground_truth=loader.truth_kind, size=size,
                              fixed_scaling=args.depth_validation_fixed_scaling)  # fmt: skip

    def draw(position: int, truth: Truth, depth: Tensor) -> None:
        if position < evaluation.pictures:
            evaluation.keep_picture(spec.domain, position, depth_comparison(truth.image, depth, truth.depth))

    result = evaluate_depth(
        evaluation.predict,
        evaluation.batches(loader),
        depth_min=args.model_depth_min,
        depth_max=args.model_depth_max,
        fixed_scaling=args.depth_validation_fixed_scaling,
        on_image=draw,
    )
    median, std = result.scaling(first_quarter=args.depth_ratio_on_validation)
    print(f"{scaling_line(median, std)}\n\n{depth_table(result.metrics)}", flush=True)
    metrics = result.metrics | {"ratio_median": median, "ratio_std": std}
    evaluation.keep_results(loader, metrics, result.rows, protocol, result.skipped)


if __name__ == "__main__":
    harness.main("eval_depth", evaluate)
