"""What a network learns from a frozen teacher of whole images, the same for all methods that learn from video."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from dataloader.views import LOCAL
from engine import ranks
from errors import UserError
from losses.photometric import Reference, least_error
from losses.ranking import ranking_difference
from losses.reduction import Denominator, own_count
from losses.relative import GRADIENT_WEIGHT, agreement, aligned, matched_gradients, residual, trimmed
from perspective_resample.crop import cropped_maps
from perspective_resample.depth import scale_disparity
from perspective_resample.views import synthesise

from .look import Seen, Taught

log = logging.getLogger(__name__)
Ask = Callable[[Tensor], Tensor]
"""RGB (B, 3, H, W) in [0, 1] -> inverse depth (B, H, W), of any scale and shift."""


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """Who teaches what in which epochs. It is part of no network, and has no state.

    teacher:     asked where a batch brings no answers of a cache; None where all do
    loss:        ssi, ssi+gradient or ranking
    gate:        none, photometric or uncertainty
    weight:      of the loss, in the first of its epochs; `decay` times that in the next, and so on
    epochs:      first one and the one after the last, counted from 0; None: to the end
    depth_range: depth of disparity 1 and 0, metres up to scale
    """

    teacher: Ask | None
    loss: str
    gate: str
    weight: float
    decay: float = 1.0
    epochs: tuple[int, int | None] = (0, None)
    depth_range: tuple[float, float]
    denominator: Denominator = own_count

    def lesson(self, epoch: int) -> Lesson | None:
        """That of the steps of an epoch; None where there is none."""
        first, end = self.epochs
        if epoch < first or (end is not None and epoch >= end):
            return None
        weight = self.weight * self.decay ** (epoch - first)
        return Lesson(self, weight) if weight > 0 else None

    def again(self, found: Mapping[str, Any]) -> Lesson | None:
        """That of a step that was kept; `found`: `Lesson.found` of the step."""
        return Lesson(self, found["weight"], found["answers"]) if found else None

    def ask(self, batch: Batch, autocast: Callable[[], AbstractContextManager]) -> Tensor:
        """Answers to the images of a batch, (B, 1 or 2, H, W) float32: from its cache, or from the teacher now.

        The teacher sees images as they were recorded, so that what it says of one does not depend on what is drawn for
        it; its answers are mirrored where the images are.
        """
        if batch.guide is not None:
            return batch.guide
        mirrored = batch.flip.view(-1, 1, 1, 1)
        image = batch.images[0]
        image = torch.where(mirrored, image.flip(-1), image)
        with torch.no_grad(), autocast():
            answers = self.teacher(image)[:, None].float()
            if self.gate == "uncertainty":
                answers = torch.cat((answers, self.teacher(image.flip(-1))[:, None].float().flip(-1)), 1)
        return torch.where(mirrored, answers.flip(-1), answers)

    @torch.no_grad()
    def counted(self, seen: Seen, answers: Tensor) -> Tensor:
        """Pixels that pass the gate, (B, 1, H, W) bool; answers: those to the view, as in `Taught`.

        photometric: the neighbours, warped with the answer, look more like the image than warped with the disparity
        uncertainty: the teacher says the same of the image and of its mirror image, see `losses.relative.agreement`
        """
        if self.gate == "uncertainty":
            return agreement((answers[:, :1], answers[:, 1:]))
        if self.gate == "none":
            return torch.ones_like(answers[:, :1], dtype=torch.bool)
        target = aligned(answers[:, :1], seen.prediction.disp[0]).clamp(0, 1)
        batch, motion = seen.batch, seen.prediction.motion
        size, reference = len(batch.images[0]), Reference.of(batch.images[0])
        fresh = synthesise({0: target}, motion, batch.images, batch.K, batch.inv_K, *self.depth_range).color
        before, after = (
            least_error({frame: colors[frame][:size] for frame in motion}, reference)
            for colors in (seen.views.color, fresh)
        )
        return (after < before)[:, None]

    def compare(self, seen: Seen, answer: Tensor, counted: Tensor, draws: Tensor | None) -> Tensor:
        """Loss of a view before its weight; draws (B, N, 7) for pairs."""
        inverse = scale_disparity(seen.prediction.disp[0], *self.depth_range)
        if self.loss == "ranking":
            image = seen.batch.images[0]
            return ranking_difference(inverse, answer, image, draws, counted, self.denominator)
        rest = residual(inverse, answer)
        loss = trimmed(rest, counted, self.denominator)
        if self.loss == "ssi":
            return loss
        return loss + GRADIENT_WEIGHT * matched_gradients(rest, counted, self.denominator)


@dataclass(frozen=True)
class Lesson:
    """The teaching of a step, and how much it counts; `answers` where they are known from before."""

    teaching: Teaching
    weight: float
    answers: Tensor | None = None

    def __call__(
        self, batch: Batch, views: Mapping[str, Seen], autocast: Callable[[], AbstractContextManager]
    ) -> Taught:
        """Ask, and compare with every view: the mean of their losses.

        batch:  of whole images
        views: its views by name, the image itself first; the local one gets its part of the answers
        """
        teaching = self.teaching
        answers = teaching.ask(batch, autocast) if self.answers is None else self.answers.to(batch.images[0].device)
        losses, passed = [], []
        for name, seen in views.items():
            own = cropped_maps(answers, seen.batch.place) if name == LOCAL else answers
            passed.append(teaching.counted(seen, own))
            losses.append(teaching.compare(seen, own[:, :1], passed[-1], batch.draws))
        return Taught(self.weight * torch.stack(losses).mean(), answers, passed[0])

    def found(self, taught: Taught) -> dict[str, Any]:
        """What `Teaching.again` needs."""
        return {"weight": self.weight, "answers": taught.answers}


def check_teaching(args: Namespace) -> None:
    """What a training with a teacher of whole images can get wrong before it is opened.

    Raises:
        UserError: naming the options.
    """
    weight, first, end = args.teacher_loss_weight, args.teacher_from_epoch, args.teacher_until_epoch
    given = f"--teacher-loss-weight {weight:g}"
    if not weight:
        idle = [f"--{name.replace('_', '-')}" for name in args.said if name == "teacher" or name.startswith("teacher_")]
        if idle := [flag for flag in idle if flag != "--teacher-loss-weight"]:
            log.warning("%s: without effect unless --teacher-loss-weight is above 0", ", ".join(idle))
        return
    if args.teacher in ("", "none") and not args.teacher_cache:
        raise UserError(
            f"{given}: nobody teaches; name a checkpoint or a frozen network by --teacher, or its answers by "
            "--teacher-cache"
        )
    if end and first >= end:
        raise UserError(
            f"--teacher-from-epoch {first}: must be below --teacher-until-epoch {end}; pass --teacher-loss-weight 0 to "
            "train without a teacher"
        )
    if not args.depth_training_loaders:
        log.warning("%s: without effect, no --depth-training-loaders are named", given)
    elif first >= args.train_num_epochs:
        log.warning("--teacher-from-epoch %d: never reached with --train-num-epochs %d", first, args.train_num_epochs)


def build_teaching(args: Namespace, open_teacher: Callable[..., nn.Module]) -> Teaching | None:
    """The teaching of the options; None where a run has none or never comes to it.

    Raises:
        UserError: when the teacher cannot be opened.
    """
    if not args.teacher_loss_weight or not args.depth_training_loaders:
        return None
    if args.teacher_from_epoch >= args.train_num_epochs:
        return None
    teacher = None
    if not args.teacher_cache:
        try:
            teacher = open_teacher(args.teacher, asked="images")
        except UserError as error:
            raise UserError(f"--teacher: {error}") from None
    return Teaching(
        teacher=teacher,
        loss=args.teacher_loss,
        gate=args.teacher_gate,
        weight=args.teacher_loss_weight,
        decay=args.teacher_decay,
        epochs=(args.teacher_from_epoch, args.teacher_until_epoch or None),
        depth_range=(args.model_depth_min, args.model_depth_max),
        denominator=ranks.denominator,
    )
