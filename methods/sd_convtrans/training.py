"""What a training step of SD-ConvTrans is: both depths of a picture, compared with dense depth and its smooth base."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from dataloader.batch import Batch
from dataloader.measured import LOW
from engine import ranks
from engine.outcome import Outcome
from losses.dense import TERMS, DenseDepthLoss
from methods.metric.training import MetricTraining
from methods.video.step import given

from .look import SeenLayers
from .targets import Target, targets

log = logging.getLogger(__name__)
BIAS_RATE = 2.0  # of biases to that of weights, in the learning rate


class SDConvTransTraining(MetricTraining):
    """Training with dense depth; see `methods.method.Training`.

    Args:
        network: as `models.sd_convtrans.SDConvTrans`.
        loss: on the device of the network.
        starts: first epoch of every term of the loss.
        rate: learning rate of weights.
        autocast: makes the context in which networks compute.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: DenseDepthLoss,
        starts: Mapping[str, int],
        rate: float,
        autocast: Callable[[], AbstractContextManager],
    ):
        learning = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
        biases = [value for name, value in learning if name.endswith("bias")]
        weights = [value for name, value in learning if not name.endswith("bias")]
        super().__init__([{"params": weights}, {"params": biases, "lr": BIAS_RATE * rate}], autocast)
        self.loss, self.starts, self.max_depth = loss, starts, network.max_depth
        self._told: set[str] = set()

    def step(self, network: nn.Module, batches: Sequence[Batch], epoch: int, batch: int) -> list[Outcome]:
        """Forward pass and losses, one outcome per data set."""
        for one in batches:
            self._tell_of_gaps(one)
        # Drawn from the stream that a checkpoint keeps; what is drawn in the network then follows from it alone.
        return self._compared(network, batches, epoch, int(torch.randint(2**31, ())))

    def again(self, network: nn.Module, batches: Sequence[Batch], found: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """A step that was kept, with what was drawn then."""
        with torch.random.fork_rng():
            return self._compared(network, batches, found[0]["epoch"], found[0]["seed"])

    def _compared(self, network: nn.Module, batches: Sequence[Batch], epoch: int, seed: int) -> list[Outcome]:
        torch.manual_seed(seed)
        images = torch.cat([batch.inputs[0] for batch in batches])
        small = torch.cat([batch.views[LOW].inputs[0] for batch in batches])
        with self.autocast():
            shares = network(images, small)
        sizes = [len(batch.flip) for batch in batches]
        parts = zip(*(share.split(sizes) for share in shares), strict=True)
        found = {"epoch": epoch, "seed": seed}
        return [self._outcome(batch, *pair, found) for batch, pair in zip(batches, parts, strict=True)]

    def _outcome(self, batch: Batch, base: Tensor, full: Tensor, found: Mapping[str, Any]) -> Outcome:
        smooth, dense = targets(batch, self.max_depth, base.shape[2:], full.shape[2:])
        terms = self._terms("loss", full, dense, found["epoch"])
        terms |= self._terms("loss_base", base, smooth, found["epoch"])
        total = torch.stack([*terms.values()]).sum()
        return Outcome(
            name=batch.spec.domain,
            total=total,
            terms=terms,
            numbers=(_given(batch), {"base depth": base, "full depth": full}, {**terms, "loss": total}),
            look=SeenLayers(batch, *(self.max_depth * each for each in (full, base, dense.share))),
            raw=batch.raw,
            found=found,
        )

    def _terms(self, name: str, share: Tensor, target: Target, epoch: int) -> dict[str, Tensor]:
        found = self.loss(share, target.share, target.dense)
        return {f"{name}_{term}": value for term, value in found.items() if epoch >= self.starts[term]}

    def _tell_of_gaps(self, batch: Batch) -> None:
        """Say once per data set that samples lack filled depth or its base; looks at the bytes on the host."""
        name = batch.spec.name
        lacking = [
            what
            for what, maps in (("filled depth", batch.raw.dense), ("base of the depth", batch.raw.base))
            if maps is None or not bool(maps[..., ::8, ::8].flatten(1).any(1).all())
        ]
        if lacking and name not in self._told:
            self._told.add(name)
            log.warning(
                "%s: samples without %s; from what was measured alone they learn depth, but no slopes and normals; "
                "python -m dataloader.prepare fill %s makes both",
                name,
                " and ".join(lacking),
                name,
            )


def _given(batch: Batch) -> dict[str, Tensor]:
    """What a batch brings, by name."""
    maps = {"measured depth": batch.depth, "filled depth": batch.dense, "base of the depth": batch.base}
    brought = given(batch) | {"jittered smaller image": batch.views[LOW].inputs[0]}
    return brought | {name: values for name, values in maps.items() if values is not None}


def training(
    args: Namespace,
    network: nn.Module,
    open_teacher: Callable[[str], nn.Module],
    autocast: Callable[[], AbstractContextManager],
) -> SDConvTransTraining:
    """Depth, slopes and normals of both depths, each with weight 1; no teacher."""
    loss = DenseDepthLoss(args.supervised_loss, ranks.denominator, ranks.all_reduce_mean)
    loss.to(next(network.parameters()).device)
    if args.train_compile:
        loss.compile(dynamic=False)
    starts = dict(zip(TERMS, (0, args.supervised_gradient_from_epoch, args.supervised_normal_from_epoch), strict=True))
    return SDConvTransTraining(network, loss, starts, args.train_learning_rate, autocast)
