"""What a training step of Spatial-KD is: alone, or as the student of a teacher."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from engine import ranks
from engine.optimizer import decaying_epochs
from engine.outcome import Outcome
from losses.distillation import (
    BLOCKS,
    block_mask,
    compared_maps,
    ramp_length,
    replaced_difference,
    share_replaced,
    weighted,
)
from losses.supervised import scale_invariant
from methods.metric.training import MetricTraining, outcome
from models.spatial_kd import Decoded, Replacement, SpatialKD


def training(
    args: Namespace,
    network: SpatialKD,
    open_teacher: Callable[..., nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> SpatialKDTraining:
    """The scale-invariant loss; with --kd-teacher also distillation, and the decoder of the teacher, which is frozen.

    Raises:
        UserError: when the teacher cannot be opened.
    """
    encoder = {"params": [*network.encoder.parameters()]}
    if not args.kd_teacher:
        decoder = {"params": [*network.decoder.parameters()], "weight_decay": 0.0}
        return SpatialKDTraining([encoder, decoder], autocast, args.depth_truth_min)
    teacher = open_teacher(args.kd_teacher, args.kd_teacher_decoder)
    network.take_decoder(teacher)
    steps = args.train_batches_per_epoch
    distillation = Distillation(
        torch.compile(teacher.maps, dynamic=False) if args.train_compile else teacher.maps,
        weights={
            "feature": args.kd_feature_weight,
            **{f"laplacian_{part}": args.kd_laplacian_weight for part in (1, 2, 3)},
            "replaced": args.kd_replaced_weight,
        },
        most=args.kd_replace,
        steps=steps,
        ramp=ramp_length(decaying_epochs(args), steps),
        seed=args.sys_seed,
    )
    return SpatialKDTraining([encoder], autocast, args.depth_truth_min, distillation)


@dataclass(frozen=True)
class Taught:
    """Maps of the decoder of a teacher, coarsest first, and what replaces maps of the student."""

    maps: Sequence[Tensor]
    replacements: Sequence[Replacement]


@dataclass(frozen=True)
class Distillation:
    """A teacher, and what a student is told of it.

    maps:    images (B, 3, H, W) -> deepest map of the encoder, five maps of the decoder
    weights: of the terms of `losses.distillation`
    most:    share of the maps that is replaced at last
    steps:   per epoch
    ramp:    steps in which the share rises
    seed:    from which the blocks are drawn, with rank and step
    """

    maps: Callable[[Tensor], tuple[Tensor, Sequence[Tensor]]]
    weights: Mapping[str, float]
    most: float
    steps: int
    ramp: float
    seed: int

    def draw(self, epoch: int, batch: int, number: int) -> dict[str, float | int]:
        """Share that is replaced for the `number`th data set in a step, and what seeds the choice of blocks."""
        step = epoch * self.steps + batch
        sequence = np.random.SeedSequence((self.seed, ranks.rank_and_size()[0], epoch, batch, number))
        seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return {"share": share_replaced(step, self.ramp, self.most), "seed": seed}

    @torch.no_grad()
    def taught(self, image: Tensor, share: float, seed: int) -> Taught:
        """What the teacher says of images, and which blocks of it the student gets."""
        deepest, maps = self.maps(image)
        if not self.most:
            return Taught(maps, ())
        rng = torch.Generator(image.device).manual_seed(seed)
        replacements = []
        for partner, block in zip((deepest, *maps), BLOCKS, strict=False):
            noise = torch.rand(partner[:, 0].shape, generator=rng, device=image.device)
            replacements.append(Replacement(partner, block_mask(noise, share, block)))
        return Taught(maps, replacements)

    def terms(self, decoded: Decoded, taught: Taught) -> dict[str, Tensor]:
        """Weighted terms of the loss by name."""
        found = compared_maps(decoded.maps, taught.maps)
        if taught.replacements:
            found["replaced"] = [
                replaced_difference(before, replacement.partner, replacement.mask)
                for before, replacement in zip(decoded.before, taught.replacements, strict=True)
            ]
        return {f"loss_{name}": value for name, value in weighted(found, self.weights).items()}


class SpatialKDTraining(MetricTraining):
    """Training of `models.spatial_kd.SpatialKD`.

    nearest:      metres, from which on measured depth counts
    distillation: of a student; None: it learns alone
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        autocast: Callable[[], AbstractContextManager],
        nearest: float,
        distillation: Distillation | None = None,
    ):
        super().__init__(groups, autocast)
        self.nearest, self.distillation = nearest, distillation

    def step(self, network: Callable, batches: Sequence[Batch], epoch: int, batch: int) -> list[Outcome]:
        """Forward pass and losses, one outcome per data set."""
        numbers = range(len(batches))
        drawn = [self.distillation.draw(epoch, batch, number) if self.distillation else {} for number in numbers]
        return self.again(network, batches, drawn)

    def again(self, network: Callable, batches: Sequence[Batch], found: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """A step with blocks that were drawn before, `Outcome.found` of every data set."""
        images = [batch.inputs[0] for batch in batches]
        with self.autocast():
            if not self.distillation:
                taught = []
                decoded = network(images)
            else:
                taught = [self.distillation.taught(image, **one) for image, one in zip(images, found, strict=True)]
                decoded = network(images, [one.replacements for one in taught])
        outcomes = []
        for number, (batch, mine) in enumerate(zip(batches, decoded, strict=True)):
            terms = {"loss_depth": scale_invariant(mine.depth, batch.depth, self.nearest)}
            if taught:
                terms |= self.distillation.terms(mine, taught[number])
            outcomes.append(outcome(batch, mine.depth, terms, found[number]))
        return outcomes
