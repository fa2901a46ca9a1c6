"""Training on further views of the images: all go through the depth network in one call, and are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from dataloader.views import LOCAL, RESHUFFLED
from engine.outcome import Outcome
from losses.views import Compared, ViewsLoss
from models.prediction import Outputs
from perspective_resample.crop import cropped_camera, enlarged_motion
from perspective_resample.rearrange import permuted_back
from perspective_resample.views import Views

from .look import Seen
from .step import given, noted, predicted
from .teaching import Lesson
from .training import VideoTraining


class ViewsTraining(VideoTraining):
    """`VideoTraining` with a `ViewsLoss`, for items of `dataloader.views`; its schedule has teaching alone."""

    def step(self, network: nn.Module, batches: Sequence[Batch], epoch: int, batch: int) -> list[Outcome]:
        """Forward pass and losses, one outcome per data set."""
        lesson = self.schedule.phase(epoch, batch).lesson
        return compare_views(network, self.objective, batches, self.resample, self.autocast, lesson)

    def again(self, network: nn.Module, batches: Sequence[Batch], found: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """A step that was kept; nothing but the batches and what its teacher said decides it."""
        lesson = self.schedule.lesson_again(found)
        return compare_views(network, self.objective, batches, self.resample, self.autocast, lesson)


@dataclass(frozen=True)
class SeenViews(Seen):
    """`Seen`, and the further views, by name."""

    others: Mapping[str, Seen] = field(default_factory=dict)

    def pictures(self) -> dict[str, Tensor]:
        """Panels by name."""
        return super().pictures() | {name: other.pictures()["images"] for name, other in self.others.items()}


def compare_views(
    network: nn.Module,
    objective: ViewsLoss,
    batches: Sequence[Batch],
    resample: Callable[..., Views],
    autocast: Callable[[], AbstractContextManager],
    lesson: Lesson | None = None,
) -> list[Outcome]:
    """Predict for the images and all views of all data sets in one call, resample, compare.

    Each view passes by itself, after the image, so batch normalisation sees it by itself; motion is that of the whole
    images.

    Args:
        network: with the interface of `models.monodepth2.DepthAndMotion`, in training mode, wrapped in DDP or not.
        objective: losses of the images and their views.
        batches: one per data set.
        resample: `perspective_resample.views.synthesise` with the depth range of the network.
        autocast: makes the context in which the networks compute.
        lesson: what a teacher adds to the step, if it has one.
    """
    everything = [view for batch in batches for view in (batch, *batch.views.values())]
    with autocast():
        predictions = iter(network([view.inputs for view in everything], [view.spec.purpose for view in everything]))
    outcomes = []
    for batch in batches:
        image = next(predictions)
        views = {name: next(predictions) for name in batch.views}
        outcomes.append(_outcome(batch, image, views, objective, resample, autocast, lesson))
    return outcomes


def _outcome(
    batch: Batch,
    image: Outputs,
    views: Mapping[str, Outputs],
    objective: ViewsLoss,
    resample: Callable[..., Views],
    autocast: Callable[[], AbstractContextManager],
    lesson: Lesson | None,
) -> Outcome:
    local, crops, others = None, None, {}
    if LOCAL in views:
        crops = batch.views[LOCAL].place
        others[LOCAL] = _local(batch, image, views[LOCAL], resample)
        near = others[LOCAL]
        local = Compared(near.batch.images, near.views.color, near.prediction.disp)
    restored = {}
    if RESHUFFLED in views:
        first = batch.views[RESHUFFLED].place
        restored = {r: permuted_back(disp, first, r) for r, disp in views[RESHUFFLED].disp.items()}
    # Both disparities belong to the same images, so all that depends on these alone is computed once.
    both = {r: torch.cat((disp, restored[r])) for r, disp in image.disp.items()} if restored else image.disp
    warped = resample(both, image.motion, batch.images, batch.K, batch.inv_K)
    if restored:
        second = Outputs(disp=restored, motion=image.motion)
        others[RESHUFFLED] = Seen(batch, second, _second(warped, len(batch.images[0])))
    total, terms = objective(Compared(batch.images, warped.color, both), local, crops)
    seen, taught = SeenViews(batch, image, warped, loss=objective.depth, others=others), None
    if lesson:
        taught = lesson(batch, {"image": seen, **others}, autocast)
        seen, total = replace(seen, taught=taught), total + taught.loss
        terms["loss_teacher"] = taught.loss
    numbers = [given(batch, taught), predicted(image, None)]
    for name, prediction in views.items():
        numbers[0] |= {f"{name} {what}": number for what, number in given(batch.views[name]).items()}
        numbers[1] |= {f"{name} {what}": number for what, number in predicted(prediction, None).items()}
    return Outcome(
        name=batch.spec.domain,
        total=total,
        terms=terms,
        numbers=(*numbers, {**terms, "loss": total}),
        look=seen,
        raw=batch.raw,
        found=noted(lesson, taught),
    )


def _local(batch: Batch, image: Outputs, prediction: Outputs, resample: Callable[..., Views]) -> Seen:
    """The local view with its own camera, and its neighbours warped to it by the motion of the whole images."""
    view = batch.views[LOCAL]
    K, inv_K = cropped_camera(batch.K, batch.inv_K, view.place)
    motion = {frame: enlarged_motion(T, view.place) for frame, T in image.motion.items()}
    view = replace(view, K=K, inv_K=inv_K)
    views = resample(prediction.disp, motion, view.images, K, inv_K)
    return Seen(view, replace(prediction, motion=motion), views)


def _second(views: Views, size: int) -> Views:
    """Of views of two disparities the second one's at full size; `size` images."""
    part = slice(size, 2 * size)
    return Views(
        views.depth[part],
        {frame: grid[part] for frame, grid in views.grid.items()},
        {frame: color[part] for frame, color in views.color.items()},
    )
