"""What a training step of LapDepth is."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from engine.outcome import Outcome
from losses.supervised import as_far_as, gradient_loss, rows_of_scans, scale_invariant
from methods.metric.training import MetricTraining, outcome
from models.lapdepth import LapDepth

log = logging.getLogger(__name__)


def training(
    args: Namespace,
    network: LapDepth,
    open_teacher: Callable[..., nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> LapDepthTraining:
    """The scale-invariant loss, and gradients of dense depth from an epoch on; no teacher."""
    groups = [
        {"params": [each for each in network.encoder.parameters() if each.requires_grad]},
        {"params": [*network.decoder.parameters()], "weight_decay": 0.0},
    ]
    gradients = (args.depth_gradient_weight, args.depth_gradient_from_epoch)
    return LapDepthTraining(groups, autocast, args.depth_truth_min, gradients)


class LapDepthTraining(MetricTraining):
    """Training of `models.lapdepth.LapDepth`.

    nearest:   metres, from which on measured depth counts
    gradients: weight of the gradients of dense depth, and the first epoch with it
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        autocast: Callable[[], AbstractContextManager],
        nearest: float,
        gradients: tuple[float, int],
    ):
        super().__init__(groups, autocast)
        self.nearest, self.gradients = nearest, gradients
        self._unseen = bool(gradients[0])

    def step(self, network: Callable, batches: Sequence[Batch], epoch: int, batch: int) -> list[Outcome]:
        """Forward pass and losses, one outcome per data set."""
        if self._unseen:
            self._look_for_dense(batches)
        weight, first = self.gradients
        return self.again(network, batches, [{"gradient": weight if epoch >= first else 0.0}] * len(batches))

    def again(self, network: Callable, batches: Sequence[Batch], found: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """A step with the weight of the gradients as it was, `Outcome.found` of every data set."""
        with self.autocast():
            depths = network([batch.inputs[0] for batch in batches])
        outcomes = []
        for batch, depth, one in zip(batches, depths, found, strict=True):
            terms = {"loss_depth": scale_invariant(depth, batch.depth, self.nearest)}
            if one["gradient"]:
                terms["loss_gradient"] = one["gradient"] * _gradients(batch, depth)
            outcomes.append(outcome(batch, depth, terms, one))
        return outcomes

    def _look_for_dense(self, batches: Sequence[Batch]) -> None:
        """Say at once when the first images have no dense depth: the term would be 0 without a word."""
        self._unseen = False
        for batch in batches:
            if not bool((batch.raw.dense > 0).any()):  # in the memory of the host
                log.warning(
                    "--depth-gradient-weight %g: the first images of %s have no dense depth, and without it this term "
                    "is 0; its list names dense files, or python -m dataloader.prepare fill makes them",
                    self.gradients[0],
                    batch.spec.name,
                )


def _gradients(batch: Batch, depth: Tensor) -> Tensor:
    """Gradients against those of dense depth, of the images that have it and a measurement by which it is scaled.

    Of KITTI dense depth counts in rows that laser scans reach, of other sets where there is a measurement.
    """
    truth, dense = batch.depth, batch.dense
    known = torch.minimum(*(each.amax((1, 2, 3), keepdim=True) for each in (dense, truth))) > 0
    inside = rows_of_scans(truth) if batch.spec.dataset == "kitti" else truth > 0
    return gradient_loss(depth, torch.where(known, as_far_as(dense, truth), depth), inside)
