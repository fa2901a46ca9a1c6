"""What a training run tells while it runs: console lines, a progress bar, TensorBoard."""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from perspective_resample.camera import normals

from .board import Board
from .panels import class_panel, depth_panel, refinement_panel, segmentation_panel

log = logging.getLogger("train")
COLLAPSE_FROM_STEP = 300  # before that a healthy run is erratic


class Report:
    """Progress of a run. Reads the device on logging steps only.

    Args:
        folder: run folder; gets ``train/``, ``validation/`` and ``images/`` with TensorBoard events.
        args: needs ``train_batches_per_epoch``, ``train_num_epochs``, ``train_tb_frequency``,
            ``train_print_frequency``.
        state: has ``epoch``, ``batch`` and ``step``, which others advance.
        place: number of this process and how many train together; the first one speaks and writes for all.
        average: takes the mean of a tensor over the processes.
    """

    def __init__(
        self,
        folder: Path,
        args: Namespace,
        state: Any,
        place: tuple[int, int] = (0, 1),
        average: Callable[[Tensor], Tensor] = lambda values: values,
    ):
        self.args, self.state, self.average = args, state, average
        self.first, self.processes = place[0] == 0, place[1]
        self._board = Board(folder)
        self._started, self._images, self._steps = time.perf_counter(), 0, 0
        self._spent = dict.fromkeys(("loading", "transfer", "forward", "optimizer"), 0.0)
        self._warned = self._mute = False
        self._bar: tqdm | None = None

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of one epoch, with a progress bar; notes how long each one is waited for."""
        total = self.args.train_batches_per_epoch
        description = f"epoch {self.state.epoch + 1}/{self.args.train_num_epochs}"
        source = iter(batches)
        with tqdm(
            total=total,
            initial=self.state.batch,
            desc=description,
            unit="batch",
            disable=None if self.first else True,
            mininterval=1.0,
        ) as self._bar:
            while True:
                with self.timed("loading"):
                    batch = next(source, None)
                if batch is None:
                    break
                yield batch
                self._bar.update()

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the time spent inside to one of the phases of the console line; a GPU may still be working."""
        before = time.perf_counter()
        yield
        self._spent[phase] += time.perf_counter() - before

    def after_step(self, outcomes: Sequence[Any]) -> None:
        """Note a step; on logging steps write and print what it gave (see `losses.step.Outcome`)."""
        self._images += self.processes * sum(outcome.batch.images[0].shape[0] for outcome in outcomes)
        self._steps += 1
        index = self.state.batch - 1
        to_board = index % self.args.train_tb_frequency == 0
        to_console = index % self.args.train_print_frequency == 0
        if to_board or to_console:
            self._look_for_collapse(outcomes)
        if to_board:
            self._to_board(outcomes)
        if to_console:
            self._console(outcomes)
        if index == 0 and self.first:
            self._pictures(outcomes)

    def _look_for_collapse(self, outcomes: Sequence[Any]) -> None:
        for outcome in outcomes:
            if self._warned or self.state.step < COLLAPSE_FROM_STEP or not outcome.prediction.disp:
                continue
            disp = outcome.prediction.disp[0].detach()
            mean = disp.mean().item()
            spread = disp.std().item() / max(mean, 1e-12)
            if mean < 0.002 or mean > 0.95 or spread < 0.03:
                self._warned = True
                self._say(
                    f"warning: the disparity looks collapsed (mean {mean:.4f}, std/mean {spread:.3f}); from "
                    "scratch --train-warmup-steps 150, a lower --train-learning-rate, --model-disparity-bias -2 "
                    "with --model-depth-min 0.03, or video with slower motion helps"
                )

    def _to_board(self, outcomes: Sequence[Any]) -> None:
        for outcome in outcomes:
            scalars = {"loss": outcome.total, **outcome.terms}
            if "loss_patch" in scalars and outcome.refined is None and self._has_patches():
                del scalars["loss_patch"]  # left out in this step by --patch-interval: its 0 measures nothing
            if outcome.views:
                depth = outcome.views.depth[: outcome.batch.images[0].shape[0]]
                scalars |= {"depth_mean": depth.mean(), "depth_std": depth.std()}
            if outcome.refined:
                scalars |= {
                    "patch_count": torch.tensor(outcome.refined.count),
                    "patch_passed": outcome.refined.passed.double().mean(),
                }
            values = self._averages(scalars.values())
            self.scalars("train", outcome.batch.spec.domain, dict(zip(scalars, values, strict=True)))

    def _has_patches(self) -> bool:
        """Whether the running epoch has steps with a patch loss."""
        return self.args.patch_from_epoch <= self.state.epoch < self.args.patch_until_epoch

    def _averages(self, scalars: Iterable[Tensor]) -> list[float]:
        """Means over the processes; reads the device once."""
        values = [value.detach().double() for value in scalars]
        return self.average(torch.stack([value.to(values[0].device) for value in values])).tolist()

    def _console(self, outcomes: Sequence[Any]) -> None:
        spent = time.perf_counter() - self._started
        total = self.args.train_batches_per_epoch * self.args.train_num_epochs
        left = total - self.state.epoch * self.args.train_batches_per_epoch - self.state.batch
        eta = timedelta(seconds=round(spent / self._steps * left))
        totals = self._averages(outcome.total for outcome in outcomes)
        losses = ", ".join(
            f"{outcome.batch.spec.domain}_loss {total:.4f}" for outcome, total in zip(outcomes, totals, strict=True)
        )
        self._say(
            f"epoch {self.state.epoch + 1}/{self.args.train_num_epochs} batch {self.state.batch}/"
            f"{self.args.train_batches_per_epoch} | {losses} | {self._images / spent:.1f} images/s | "
            f"{', '.join(f'{phase} {seconds:.1f} s' for phase, seconds in self._spent.items())} | "
            f"waiting for data {100 * self._spent['loading'] / spent:.0f} % | ETA {eta}"
        )

    def _pictures(self, outcomes: Sequence[Any]) -> None:
        for outcome in outcomes:
            batch, prediction, views = outcome.batch, outcome.prediction, outcome.views
            size = batch.images[0].shape[0]
            with torch.no_grad():
                if views:
                    depth = views.depth[:size]
                    near = [views.color[frame][:size] for frame in sorted(views.color)]
                    panel = depth_panel(depth, normals(depth, batch.inv_K), batch.images[0], *near, outcome.keep)
                else:
                    panel = segmentation_panel(prediction.logits, batch.labels, batch.images[0])
                panels = {"images": panel}
                if outcome.refined:
                    panels["patches"] = refinement_panel(
                        batch.images[0],
                        outcome.refined.outlines(),
                        prediction.disp[0],
                        outcome.refined.disparity,
                        outcome.refined.weight,
                    )
                if outcome.classes is not None:
                    panels["classes"] = class_panel(batch.images[0], outcome.classes)
            for name, panel in panels.items():
                self._board.image(
                    "images", f"{batch.spec.domain}_{name}", panel.float().nan_to_num(0.0).cpu(), self.state.step
                )

    def scalars(self, writer: str, domain: str, values: Mapping[str, float]) -> None:
        """Write ``<domain>_<name>`` at the current optimiser step."""
        if not self.first:
            return
        for name, value in values.items():
            self._board.scalar(writer, f"{domain}_{name}", value, self.state.step)

    def masking(self, statistics: Mapping[str, float]) -> None:
        """Threshold, mean IoU and masked share of an epoch that masks moving objects; {} for one that does not."""
        if not statistics:
            return
        self.scalars("train", "masking", statistics)
        self._say("masking: " + ", ".join(f"{name} {value:.4f}" for name, value in statistics.items()))

    def validation(self, domain: str, values: Mapping[str, float]) -> None:
        """Metrics of one data set after an epoch."""
        self.scalars("validation", domain, values)
        self._say(f"{domain}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def saved(self, folder: Path) -> None:
        """A checkpoint was written; events are flushed with it."""
        self._board.flush()
        self._say(f"saved {folder}")

    def stopped(self, folder: Path) -> None:
        """The run was asked to stop and has saved its state."""
        self._say(f"stopped; saved {folder}; go on with --resume auto")

    def _say(self, line: str) -> None:
        if not self.first or self._mute:
            return
        try:
            tqdm.write(line)
        except OSError as error:  # a full disk, or a reader that is gone
            self._mute = True
            log.warning("the output cannot be written (%s); the run goes on without a word", error.strerror)
