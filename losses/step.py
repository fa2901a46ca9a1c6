"""The forward pass of a training step: networks, views, refinement, losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from perspective_resample.views import Views, warp_labels

from .consistency import SemanticDepthConsistency
from .objective import Objective
from .patches.refine import Refined
from .schedule import Phase


class Spec(Protocol):
    """A loader; `purpose` is ``depth`` or ``segmentation``."""

    purpose: str


class Batch(Protocol):
    """One data set's part of a step; see `dataloader.batch.Batch`."""

    spec: Spec
    images: dict[int, Tensor]
    inputs: dict[int, Tensor]
    K: Tensor
    inv_K: Tensor
    flip: Tensor
    labels: Tensor | None
    teacher: Tensor | None


class Prediction(Protocol):
    """What a network says; see `models.prediction.Prediction`."""

    disp: dict[int, Tensor]
    logits: Tensor | None
    ids: Tensor | None
    motion: dict[int, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What one data set gave in one step: loss, named terms, and what pictures are made of."""

    batch: Batch
    prediction: Prediction
    views: Views | None
    keep: Tensor | None
    refined: Refined | None
    total: Tensor
    terms: dict[str, Tensor]

    @property
    def classes(self) -> Tensor | None:
        """Predicted classes where the consistency loss acts, 255 elsewhere, (B, H, W); None where it is off."""
        ids = self.prediction.ids
        return None if ids is None else SemanticDepthConsistency().to(ids.device).constrained(ids)


def compare(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Batch],
    resample: Callable[..., Views],
    autocast: Callable[[], AbstractContextManager],
    phase: Phase,
) -> list[Outcome]:
    """Predict for all data sets at once, resample, refine, compare.

    Args:
        model: a network with the interface of `models.sgdepth.SGDepth`, in training mode; or what
            `engine.ranks.spread` made of it.
        objective: see `losses.build_objective`.
        batches: one per data set.
        resample: `perspective_resample.views.synthesise` with the depth range of the network.
        autocast: makes the context in which the networks compute.
        phase: what the step has besides; where moving objects are masked, depth data sets are segmented first, in
            evaluation mode.
    """
    masking = phase.masking
    network = getattr(model, "module", model)
    with autocast():
        segmented = [_segment(network, batch) if masking and batch.spec.purpose == "depth" else {} for batch in batches]
        predictions = model(
            [batch.inputs for batch in batches], [batch.spec.purpose for batch in batches], classify=phase.consistency
        )
    outcomes = []
    for batch, prediction, ids in zip(batches, predictions, segmented, strict=True):
        views = keep = refined = None
        if prediction.disp:
            views = resample(prediction.disp, prediction.motion, batch.images, batch.K, batch.inv_K)
        if views and masking and ids:
            size = ids[0].shape[0]
            keep = masking(ids[0], [warp_labels(ids[f], grid[:size]) for f, grid in views.grid.items()])
        if views and phase.patches:
            refined = phase.patches(
                batch.images,
                prediction.disp[0],
                views,
                prediction.motion,
                (batch.K, batch.inv_K),
                autocast,
                keep,
                batch.teacher,
                batch.flip,
            )
        total, terms = objective(
            batch.images,
            batch.labels,
            prediction.disp,
            prediction.logits,
            views.color if views else {},
            keep,
            prediction.ids,
            refined,
        )
        outcomes.append(Outcome(batch, prediction, views, keep, refined, total, terms))
    return outcomes


def _segment(model: nn.Module, batch: Batch) -> dict[int, Tensor]:
    frames = list(batch.inputs)
    ids = model.segment(torch.cat([batch.inputs[frame] for frame in frames]))
    return dict(zip(frames, ids.chunk(len(frames)), strict=True))
