"""Trajectory error of a trained network; see ``python eval_pose.py --help``."""

from __future__ import annotations

from argparse import Namespace

import harness
from harness import open_evaluation


def evaluate(args: Namespace) -> None:
    """Judge the camera motion of --model-load on every loader; print and keep the results."""
    evaluation = open_evaluation(args, "eval_pose", "pose")
    from evaluation.pose import evaluate_pose
    from evaluation.protocols import pose_protocol
    from evaluation.tables import judged_line, pose_line

    size = (args.pose_validation_resize_height, args.pose_validation_resize_width)
    tails = args.pose_windows == "all"
    protocol = pose_protocol(ground_truth="camera poses", size=size, tails=tails)
    entries = {}
    for loader in evaluation.loaders:
        batches = evaluation.batches(loader)
        result = evaluate_pose(evaluation.predict_motion, batches, tails=tails, everywhere=evaluation.everywhere)
        entry = evaluation.keep_results(loader, result.metrics, result.rows, protocol, images=result.frames)
        entries[loader.spec.domain] = entry
        evaluation.keep_overview(entries, "pose")
        evaluation.tell(f"{judged_line(loader.spec.name, entry)}\n{pose_line(result.metrics)}")
    evaluation.tell_overview(entries)


if __name__ == "__main__":
    harness.main("eval_pose", evaluate)
