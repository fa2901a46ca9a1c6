"""Depth metrics of a trained network; see ``python eval_depth.py --help``."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import harness
from harness import open_evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from dataloader.batch import Truth
    from dataloader.loaders import EvaluationData
    from evaluation.judging import Evaluation


UPLOADS = "uploads"
"""Folder of predictions that a server judges."""


def evaluate(args: Namespace) -> None:
    """Judge the network of --model-load on every loader; print, draw and keep the results, with one table over all."""
    from evaluation.overview import overview

    evaluation = open_evaluation(args, "eval_depth", "depth")
    entries = {}
    for loader in evaluation.loaders:
        if loader.spec.truth == "server":
            write_uploads(args, evaluation, loader)
            continue
        entries[loader.spec.domain] = evaluate_loader(args, evaluation, loader)
        evaluation.keep_overview(entries)
    if len(entries) > 1:
        evaluation.tell(f"\n{overview(entries)}")


def evaluate_loader(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> dict[str, Any]:
    """Judge the network on one loader; print, draw and keep the results; gives the entry of metrics.json."""
    from dataloader.truth import warn_of_unit
    from evaluation.depth import evaluate_depth
    from evaluation.protocols import build_protocol, describe_depth
    from evaluation.tables import depth_table, judged_line, scaling_line
    from visual.pictures import depth_comparison, encode

    def draw(position: int, truth: Truth, depth: Tensor) -> None:
        evaluation.keep_picture(
            loader, position, lambda: encode(depth_comparison(truth.image, depth, truth.depth), ".png")
        )

    fixed_scaling = args.depth_validation_fixed_scaling
    usual = loader.spec.protocol
    protocol = replace(build_protocol(args, usual), view=evaluation.view(loader.spec.dataset))
    warn_of_unit(loader.spec.name, loader.samples, protocol.clamp[1])
    result = evaluate_depth(
        evaluation.predict_depth,
        evaluation.batches(loader),
        protocol,
        fixed_scaling=fixed_scaling,
        on_image=draw,
        everywhere=evaluation.everywhere,
    )
    metrics, lines = result.metrics, [depth_table(result.metrics)]
    if result.scaled:
        median, std = result.scaling(first_quarter=args.depth_ratio_on_validation)
        metrics |= {"ratio_median": median, "ratio_std": std}
        lines.insert(0, f"{scaling_line(median, std)}\n")
    if protocol.name != usual:
        lines.insert(0, f" Protocol | {protocol.name} (usual for {loader.spec.name}: {usual})")
    said = describe_depth(
        protocol,
        ground_truth=loader.truth_kind,
        alignment=result.alignment,
        fixed_scaling=fixed_scaling,
        size=(args.depth_validation_resize_height, args.depth_validation_resize_width),
        network=evaluation.description(),
    )
    if result.known == "metres":
        lines.insert(0, judged_line(said, len(result.names)))
    entry = evaluation.keep_results(loader, metrics, result.rows, said, result.skipped)
    evaluation.tell("\n".join(lines))
    return entry


def write_uploads(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> None:
    """Write the predictions of one loader as files for the server that judges them."""
    from evaluation.protocols import build_protocol
    from evaluation.uploads import predicted_counts
    from visual.pictures import encode_counts

    folder = evaluation.folder / UPLOADS / loader.spec.domain
    protocol = replace(build_protocol(args, loader.spec.protocol), view=evaluation.view(loader.spec.dataset))
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
