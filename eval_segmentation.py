"""Segmentation metrics of a trained network; see ``python eval_segmentation.py --help``."""

from __future__ import annotations

import logging
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import harness
from harness import open_evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from dataloader.batch import Truth
    from dataloader.loaders import EvaluationData
    from evaluation.judging import Evaluation

log = logging.getLogger(__name__)


def evaluate(args: Namespace) -> None:
    """Judge the network of --model-load on every loader; print, draw and keep the results."""
    from evaluation.tables import SEGMENTATION_HEADER, judged_line, segmentation_row

    evaluation = open_evaluation(args, "eval_segmentation", "segmentation")
    entries = {}
    for loader in evaluation.loaders:
        entry = _evaluate_loader(args, evaluation, loader)
        header = () if entries else (SEGMENTATION_HEADER,)
        row = segmentation_row(args.model_name, loader.spec.domain, entry["metrics"])
        evaluation.tell("\n".join((judged_line(loader.spec.name, entry), *header, row)))
        entries[loader.spec.domain] = entry
        evaluation.keep_overview(entries, "segmentation")
    evaluation.tell_overview(entries)


def _evaluate_loader(args: Namespace, evaluation: Evaluation, loader: EvaluationData) -> dict[str, Any]:
    """Judge one loader and keep the results; returns its entry of metrics.json."""
    from dataloader.labels import CLASSES
    from evaluation.protocols import segmentation_protocol
    from evaluation.segmentation import evaluate_segmentation
    from visual.comparisons import segmentation_comparison, titled
    from visual.pictures import encode

    domain = loader.spec.domain
    size = (args.segmentation_validation_resize_height, args.segmentation_validation_resize_width)
    protocol = segmentation_protocol(ground_truth=f"{loader.spec.dataset} labels", size=size)

    names = [name for name, *_ in CLASSES]

    def draw(position: int, truth: Truth, ids: Tensor) -> None:
        def picture() -> bytes:
            drawn = segmentation_comparison(truth.image, ids, truth.labels, names)
            return encode(titled(drawn, truth.name), ".png")

        evaluation.keep_picture(loader, position, picture)

    result = evaluate_segmentation(
        evaluation.predict_classes, evaluation.batches(loader), on_image=draw, everywhere=evaluation.everywhere
    )
    if result.void_share:
        log.warning(
            "%s: %.2f %% of the pixels were predicted as channel 19, which has no ground truth; "
            "its IoU of 0 lowers the mean",
            domain,
            100 * result.void_share,
        )
    by_class = {name: float(iou) for name, iou in zip(names, result.scores["iou"], strict=False)}
    return evaluation.keep_results(loader, result.metrics, result.rows, protocol, result.skipped, class_iou=by_class)


if __name__ == "__main__":
    harness.main("eval_segmentation", evaluate)
