"""The forward pass of a training step on video: networks, views, refinement, losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from engine.outcome import Outcome
from losses.objective import Objective
from losses.patches.refine import Refined
from models.prediction import Outputs
from perspective_resample.views import Views, warp_labels

from .look import Seen, Taught
from .schedule import Phase
from .teaching import Lesson


def compare(
    network: nn.Module,
    objective: Objective,
    batches: Sequence[Batch],
    resample: Callable[..., Views],
    autocast: Callable[[], AbstractContextManager],
    phase: Phase,
) -> list[Outcome]:
    """Predict for all data sets at once, resample, refine, compare.

    Args:
        network: with the interface of `models.sgdepth.SGDepth`, in training mode, wrapped in DDP or not.
        objective: losses of both kinds of data sets.
        batches: one per data set.
        resample: `perspective_resample.views.synthesise` with the depth range of the network.
        autocast: makes the context in which the networks compute.
        phase: what the step has besides; where moving objects are masked, depth data sets are segmented first, in
            evaluation mode.
    """
    plain = getattr(network, "module", network)
    with autocast():
        segmented = [
            _segment(plain, batch) if phase.masking and batch.spec.purpose == "depth" else {} for batch in batches
        ]
        predictions = network(
            [batch.inputs for batch in batches], [batch.spec.purpose for batch in batches], **_asked(objective, phase)
        )
    return [
        _outcome(batch, prediction, ids, objective, resample, autocast, phase)
        for batch, prediction, ids in zip(batches, predictions, segmented, strict=True)
    ]


def _asked(objective: Objective, phase: Phase) -> dict[str, bool]:
    """What the network says of classes; nothing to one that knows none."""
    consistency = objective.consistency if phase.consistency else None
    weighs = consistency is not None and consistency.weighs
    return ({"classify": True} if phase.consistency else {}) | ({"weigh": True} if weighs else {})


def _outcome(
    batch: Batch,
    prediction: Outputs,
    ids: Mapping[int, Tensor],
    objective: Objective,
    resample: Callable[..., Views],
    autocast: Callable[[], AbstractContextManager],
    phase: Phase,
) -> Outcome:
    views = keep = refined = None
    if prediction.disp:
        views = resample(prediction.disp, prediction.motion, batch.images, batch.K, batch.inv_K)
    if views and phase.masking and ids:
        size = ids[0].shape[0]
        keep = phase.masking(ids[0], [warp_labels(ids[f], grid[:size]) for f, grid in views.grid.items()])
    if views and phase.patches:
        camera = (batch.K, batch.inv_K)
        refined = phase.patches(
            batch.images,
            prediction.disp[0],
            views,
            prediction.motion,
            camera,
            autocast,
            keep,
            batch.teacher,
            batch.flip,
        )
    warped = views.color if views else {}
    total, terms = objective(
        batch.images,
        batch.labels,
        prediction.disp,
        prediction.logits,
        warped,
        keep,
        prediction.ids,
        refined,
        prediction.sure,
        batch.K,
    )
    if phase.pauses_patches:
        terms.pop("loss_patch", None)  # its 0 measures nothing
    seen = Seen(batch, prediction, views, keep, refined, loss=objective.depth, consistency=objective.consistency)
    taught = None
    if phase.lesson and views:
        taught = phase.lesson(batch, {"image": seen}, autocast)
        seen, total = replace(seen, taught=taught), total + taught.loss
        terms["loss_teacher"] = taught.loss
    return Outcome(
        name=batch.spec.domain,
        total=total,
        terms=terms,
        numbers=(given(batch, taught), predicted(prediction, refined), {**terms, "loss": total}),
        look=seen,
        raw=batch.raw,
        found=_found(prediction, keep, refined) | noted(phase.lesson, taught),
    )


def noted(lesson: Lesson | None, taught: Taught | None) -> dict[str, Any]:
    """What `again` needs of a lesson; nothing where there was none."""
    return {"taught": lesson.found(taught)} if lesson and taught else {}


def given(batch: Batch, taught: Taught | None = None) -> dict[str, Tensor]:
    """What a batch brings, by name, and what a teacher says of it."""
    given = {f"image {frame}": image for frame, image in batch.images.items()}
    given |= {f"jittered image {frame}": image for frame, image in batch.inputs.items()}
    given |= {"intrinsics": batch.K, "inverse intrinsics": batch.inv_K}
    given |= {} if batch.teacher is None else {"cached teacher": batch.teacher}
    return given | ({"answers of the teacher": taught.answers} if taught else {})


def predicted(prediction: Outputs, refined: Refined | None) -> dict[str, Tensor]:
    """What the networks say, by name."""
    predicted = {f"disparity {r}": disp for r, disp in prediction.disp.items()}
    predicted |= {} if prediction.logits is None else {"class scores": prediction.logits}
    predicted |= {f"motion {frame}": motion for frame, motion in prediction.motion.items()}
    return predicted | ({"refined disparity": refined.disparity} if refined else {})


def _found(prediction: Outputs, keep: Tensor | None, refined: Refined | None) -> dict[str, Any]:
    """What `again` needs to have the step as it was."""
    kept = refined and {name: value for name, value in vars(refined).items() if name != "patches"}
    return {"keep": keep, "refined": kept, "consistency": prediction.ids is not None}


def again(found: Sequence[Mapping[str, Any]]) -> Phase:
    """The phase of a step that was kept: masks and targets are those that were found then.

    found: `Outcome.found` of every data set
    """
    masks = iter([one["keep"] for one in found if one["keep"] is not None])
    targets = iter([Refined(patches=(), **one["refined"]) for one in found if one["refined"]])
    return Phase(
        masking=(lambda *_: next(masks)) if any(one["keep"] is not None for one in found) else None,
        consistency=any(one["consistency"] for one in found),
        patches=(lambda *_: next(targets)) if any(one["refined"] for one in found) else None,
    )


def _segment(model: nn.Module, batch: Batch) -> dict[int, Tensor]:
    frames = list(batch.inputs)
    ids = model.segment(torch.cat([batch.inputs[frame] for frame in frames]))
    return dict(zip(frames, ids.chunk(len(frames)), strict=True))
