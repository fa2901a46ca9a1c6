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

from engine.outcome import Outcome
from storage.progress import SECONDS_BETWEEN

from .board import Board

log = logging.getLogger("train")
DOUBT_FROM_STEP = 300  # before that a healthy run is erratic


class Report:
    """Progress of a run. Reads the device on logging steps only, and, for a short line, every ten seconds.

    Args:
        folder: run folder; gets ``train/``, ``validation/`` and ``images/`` with TensorBoard events.
        args: needs ``train_batches_per_epoch``, ``train_num_epochs``, ``train_tb_frequency``,
            ``train_print_frequency``.
        state: has ``epoch``, ``batch`` and ``step``, which others advance.
        rank_and_size: of this process; rank 0 prints and writes for all.
        average: takes the mean of a tensor over the ranks.
        rates: learning rates, by name.
        memory: bytes in use on the device; 0 where nobody knows.
    """

    def __init__(
        self,
        folder: Path,
        args: Namespace,
        state: Any,
        rank_and_size: tuple[int, int] = (0, 1),
        average: Callable[[Tensor], Tensor] = lambda values: values,
        rates: Callable[[], Mapping[str, float]] = dict,
        memory: Callable[[], int] = int,
    ):
        self.args, self.state, self.average, self.rates, self.memory = args, state, average, rates, memory
        self.first, self.world_size = rank_and_size[0] == 0, rank_and_size[1]
        self._board = Board(folder)
        self._started, self._images, self._steps = time.perf_counter(), 0, 0
        self._told = self._started
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

    def after_step(self, outcomes: Sequence[Outcome]) -> None:
        """Note a step; on logging steps write and print what it gave."""
        self._images += self.world_size * sum(len(outcome.raw) for outcome in outcomes)
        self._steps += 1
        index = self.state.batch - 1
        to_board = index % self.args.train_tb_frequency == 0
        to_console = index % self.args.train_print_frequency == 0
        if to_board or to_console:
            self._doubt(outcomes)
        if to_board:
            self._to_board(outcomes)
        if to_console:
            self._console(outcomes)
        elif self.first and time.perf_counter() - self._told >= SECONDS_BETWEEN:
            self._glance(outcomes)
        if index == 0 and self.first:
            self._pictures(outcomes)

    def _doubt(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if self._warned or self.state.step < DOUBT_FROM_STEP:
                return
            if doubt := outcome.look.doubt():
                self._warned = True
                self._say(f"warning: {doubt}")

    def _to_board(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            scalars = {"loss": outcome.total, **outcome.terms, **outcome.look.measures()}
            values = self._averages(scalars.values())
            self.scalars("train", outcome.name, dict(zip(scalars, values, strict=True)))
        if self.first:
            for name, rate in self.rates().items():
                self._board.scalar("train", name, rate, self.state.step)

    def _averages(self, scalars: Iterable[Tensor]) -> list[float]:
        """Means over the ranks; reads the device once."""
        values = [value.detach().double() for value in scalars]
        return self.average(torch.stack([value.to(values[0].device) for value in values])).tolist()

    def _console(self, outcomes: Sequence[Outcome]) -> None:
        spent = time.perf_counter() - self._started
        phases = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in self._spent.items())
        waiting = f"waiting for data {100 * self._spent['loading'] / spent:.0f} %"
        totals = self._averages(outcome.total for outcome in outcomes)
        self._say(f"{self._place()} | {self._numbers(outcomes, totals)} | {phases} | {waiting} | {self._rest()}")

    def _glance(self, outcomes: Sequence[Outcome]) -> None:
        """A short line, or what stands behind the bar; of several ranks, the losses of the first."""
        numbers = self._numbers(outcomes, [outcome.total.item() for outcome in outcomes])
        if self._bar is not None and not self._bar.disable:
            self._told = time.perf_counter()
            self._bar.set_postfix_str(numbers)
        else:
            self._say(f"{self._place()} | {numbers} | {self._rest()}")

    def _place(self) -> str:
        batches, epochs = self.args.train_batches_per_epoch, self.args.train_num_epochs
        return f"epoch {self.state.epoch + 1}/{epochs} batch {self.state.batch}/{batches}"

    def _numbers(self, outcomes: Sequence[Outcome], totals: Sequence[float]) -> str:
        """Losses, speed and memory."""
        pairs = zip(outcomes, totals, strict=True)
        words = [", ".join(f"{outcome.name}_loss {total:.4f}" for outcome, total in pairs)]
        words.append(f"{self._images / (time.perf_counter() - self._started):.1f} images/s")
        if memory := self.memory():
            words.append(f"memory {memory / 2**30:.1f} GiB")
        return " | ".join(words)

    def _rest(self) -> str:
        """Time that the rest of the run takes."""
        batches = self.args.train_batches_per_epoch
        left = batches * (self.args.train_num_epochs - self.state.epoch) - self.state.batch
        seconds = (time.perf_counter() - self._started) / self._steps * left
        return f"ETA {timedelta(seconds=round(seconds))}"

    def _pictures(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            for name, panel in outcome.look.pictures().items():
                sound = panel.float().nan_to_num(0.0).cpu()
                self._board.image("images", f"{outcome.name}_{name}", sound, self.state.step)

    def scalars(self, writer: str, domain: str, values: Mapping[str, float]) -> None:
        """Write ``<domain>_<name>`` at the current optimiser step."""
        if not self.first:
            return
        for name, value in values.items():
            self._board.scalar(writer, f"{domain}_{name}", value, self.state.step)

    def epoch(self, statistics: Mapping[str, Mapping[str, float]]) -> None:
        """What the parts of a method say at the end of an epoch, by name."""
        for part, values in statistics.items():
            self.scalars("train", part, values)
            self._say(f"{part}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def validation(self, domain: str, values: Mapping[str, float]) -> None:
        """Metrics of one data set after an epoch."""
        self.scalars("validation", domain, values)
        self._say(f"{domain}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def saved(self, folder: Path) -> None:
        """A checkpoint was written; events are flushed with it."""
        self._board.flush()
        self._say(f"saved {folder}")

    def tidied(self, sentences: Iterable[str]) -> None:
        """Earlier checkpoints were removed, or could not be."""
        for sentence in sentences:
            self._say(sentence)

    def stopped(self, folder: Path) -> None:
        """The run was asked to stop and has saved its state."""
        self._say(f"stopped; saved {folder}; go on with --resume auto")

    def _say(self, line: str) -> None:
        if not self.first or self._mute:
            return
        self._told = time.perf_counter()
        try:
            tqdm.write(line)
        except OSError as error:  # a full disk, or a reader that is gone
            self._mute = True
            log.warning("the output cannot be written (%s); the run goes on without a word", error.strerror)
