"""What is looked at in the truth of loaders before a network is judged by it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from dataloader.loaders import EvaluationData
from dataloader.truth import require_dense, warn_of_unit
from errors import UserError
from evaluation.protocols import build_protocol


def look_at_truth(args: Namespace, sets: Sequence[EvaluationData]) -> None:
    """Warn of depth in a doubtful unit; what is no depth, or is on a server, has no truth to look at.

    Raises:
        UserError: when boundaries are to be judged where the truth has none, or is not there.
    """
    for data in sets:
        if data.spec.purpose != "depth":
            continue
        if data.spec.without_truth:
            if args.metrics:
                raise UserError(f"--metrics: {data.spec.without_truth}; leave one of them out")
            continue
        protocol = build_protocol(args, data.spec.protocol)
        warn_of_unit(data.spec.name, data.samples, protocol.clamp[1])
        if protocol.boundaries:
            require_dense(data.spec.name, data.samples)
