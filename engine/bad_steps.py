"""Steps with a NaN or an infinite value: left out, named, kept for a second look; too many in a row end the run."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from errors import UserError

from . import ranks
from .finite import are_finite, quantities
from .outcome import Outcome

if TYPE_CHECKING:
    from .run_state import RunState

log = logging.getLogger("train")
FOLDER = "bad_steps"
KEPT = 3  # files with bad steps in a run folder; each is as large as the network
_LAG = 2  # steps a GPU may have taken before their flags are read: it always has work while the host waits for them
_NAMED = 4  # samples of a batch that are named


@dataclass(frozen=True)
class _Pass:
    """One batch of every data set: names of its tensors, which are finite (N,), whether any rank has a NaN.

    Of every data set: the batch as its loader gave it, and what was found about it on the way.
    """

    names: tuple[str, ...]
    finite: Tensor
    lost: Tensor
    batches: tuple[tuple[Any, Mapping[str, Any]], ...]


@dataclass(frozen=True)
class _Step:
    """A step of the optimiser on its way to the host; the last two flags: some rank has a NaN, left out."""

    counters: Mapping[str, int]  # epoch, batch in it and step of the run, from 1
    flags: Tensor
    copied: torch.cuda.Event | None
    passes: tuple[_Pass, ...]


class BadSteps:
    """Looks for NaN and infinite values in every step without waiting for the device.

    In every step: `weigh` before the backward pass; where the weights were to change `settle`, and, when the state
    has been advanced, `check`. All ranks come to the same decision. A step in which only float16 gradients are
    too large is not a bad step: the scaler leaves it out and carries on.

    Args:
        state: network and counters.
        folder: run folder; the first bad steps are kept in its folder ``bad_steps``.
        options: all options, kept beside them.
        limit: bad steps in a row that end the run.
        tasks: what the network can be asked for.
        write: writes a file whole or not at all.
    """

    def __init__(
        self,
        state: RunState,
        folder: Path,
        options: Mapping[str, Any],
        limit: int,
        tasks: Sequence[str],
        write: Callable[[Path, bytes], None],
    ):
        self.state, self.folder, self.options, self.limit = state, folder, options, limit
        self.tasks, self.write = tasks, write
        self.statistics = Statistics(state.model)
        self._passes: list[_Pass] = []
        self._steps: list[_Step] = []
        self._latest: tuple[Tensor, ...] = ()  # images of the newest batches
        self._in_a_row = self._files = self._looked_at = self._left_out = 0

    def weigh(self, outcomes: Sequence[Outcome]) -> Tensor:
        """Loss of all data sets; NaN, so that no gradient is finite, where a number of any rank is NaN or infinite."""
        named = quantities(outcomes)
        finite = are_finite(named.values())
        lost = ranks.all_reduce_mean((~finite.all()).float()) > 0
        batches = tuple((outcome.raw, outcome.found) for outcome in outcomes)
        self._passes.append(_Pass(tuple(named), finite, lost, batches))
        self._latest = tuple(outcome.raw.images for outcome in outcomes)
        return sum(outcome.total for outcome in outcomes) * torch.where(lost, torch.nan, 1.0)

    def settle(self, gradients: Tensor | None) -> Tensor:
        """After a step: 1 where it was left out, else 0; running statistics are then what they were before.

        gradients: (P,) bool, which are finite, in the order of the parameters that have one; None where that does
            not matter
        """
        passes, self._passes = tuple(self._passes), []
        flags = [one.finite for one in passes]
        lost = bad = torch.stack([one.lost for one in passes]).any()
        if gradients is not None:
            flags.append(gradients)
            bad = lost | ~gradients.all()
        self.statistics.settle(bad)
        counters = {"epoch": self.state.epoch + 1, "batch": self.state.batch + 1, "step": self.state.step + 1}
        self._steps.append(_Step(counters, *_to_host(torch.cat([*flags, lost[None], bad[None]])), passes))
        return bad.float()

    def drop_unfinished(self) -> None:
        """Undo what batches since the last step did to running statistics: they will come again."""
        self._passes = []
        self.statistics.restore()

    def check(self) -> None:
        """Look at the steps whose flags are here by now; of a GPU, all but the newest ones.

        Raises:
            UserError: on all ranks, when as many in a row were bad as end the run.
        """
        while self._steps and (self._steps[0].copied is None or len(self._steps) > _LAG):
            self._look(self._steps.pop(0))
            if self._in_a_row >= self.limit:
                self.require_sound()
                raise UserError(
                    f"epoch {self.state.epoch + 1}, step {self.state.step}: {self._in_a_row} steps in a "
                    "row had a number that is NaN or infinite (--train-max-bad-steps) and were left out; "
                    f"{self.folder / FOLDER} holds the first ones; mend the data, lower "
                    "--train-learning-rate or take --train-precision fp32"
                )

    def require_some(self) -> None:
        """Check that not all steps were left out; of the steps that have been looked at.

        Raises:
            UserError: on all ranks, when nothing was learned.
        """
        if self._looked_at and self._left_out == self._looked_at:
            raise UserError(
                f"step {self.state.step}: none of the {self._looked_at} steps counted, each had a number that is NaN "
                f"or infinite and was left out; nothing was learned; {self.folder / FOLDER} holds the first ones; mend "
                "the data, lower --train-learning-rate or take --train-precision fp32"
            )

    def require_sound(self) -> None:
        """Look at all steps so far, before a checkpoint is written; waits for the device.

        Raises:
            UserError: on all ranks, when the network predicts NaN even for an image that is sound: it is not worth a
                checkpoint. A step with finite gradients can do that, too.
        """
        while self._steps:
            self._look(self._steps.pop(0))
        with ranks.raising_on_all_ranks():
            if self._latest and not self._predicts_finite():
                raise UserError(
                    f"epoch {self.state.epoch + 1}, step {self.state.step}: the loss is NaN or infinite, "
                    "and so is what the network says of any image; it is not saved: go on from a "
                    "checkpoint written before with --resume auto, a lower --train-learning-rate or "
                    "--train-precision fp32"
                )

    @torch.no_grad()
    def _predicts_finite(self) -> bool:
        """Whether the network has finite weights, and says something finite of the newest images."""
        model, said = self.state.model, []
        model.eval()
        for images in self._latest:
            frames = images.to(next(model.parameters()).device).float().transpose(0, 1) / 255
            found = model.predict(frames[0], [task for task in self.tasks if task != "pose"])
            said += [found.depth.values] if found.depth else []
            said += [found.logits] if found.logits is not None else []
            if "pose" in self.tasks and len(frames) > 1:
                said.append(model.predict_motion(frames[0], frames[1]))
        model.train()
        return bool(are_finite([*said, *model.parameters()]).all())

    def _look(self, step: _Step) -> None:
        if step.copied:
            step.copied.synchronize()
        *finite, lost, bad = step.flags.tolist()
        self._in_a_row = self._in_a_row + 1 if bad else 0
        self._looked_at, self._left_out = self._looked_at + 1, self._left_out + bool(bad)
        names = [name for one in step.passes for name in one.names]
        count = len(names)
        mine = [name for name, fine in zip(names, finite[:count], strict=True) if not fine]
        if mine:
            self._tell(step, mine)
        elif bad and not lost:  # after a NaN in the losses all gradients are NaN, and the rank that has it names it
            followed = [name for name, p in self.state.model.named_parameters() if p.grad is not None]
            self._tell(
                step, [f"gradient of {name}" for name, fine in zip(followed, finite[count:], strict=True) if not fine]
            )

    def _tell(self, step: _Step, names: Sequence[str]) -> None:
        samples = [name for one in step.passes for raw, _ in one.batches for name in raw.names]
        more = f" and {len(samples) - _NAMED} more" if len(samples) > _NAMED else ""
        log.warning(
            "epoch %d, step %d: left out, %s is NaN or infinite; samples %s%s%s",
            step.counters["epoch"],
            step.counters["step"],
            names[0],
            ", ".join(samples[:_NAMED]),
            more,
            self._kept(step, names),
        )

    def _kept(self, step: _Step, names: Sequence[str]) -> str:
        """Keep the step in a file, where there are not enough of them; what to say about it."""
        number, count = ranks.rank_and_size()
        mine = f"_process_{number}" if count > 1 else ""
        path = self.folder / FOLDER / f"step_{step.counters['step']}{mine}.pt"
        if self._files == KEPT:
            return ""
        content = {
            **step.counters,
            "bad": list(names),
            "options": dict(self.options),
            "model": self.state.model.state_dict(),
            "passes": [
                [{"raw": raw.plain(), "found": dict(found)} for raw, found in one.batches] for one in step.passes
            ],
        }
        file = io.BytesIO()
        torch.save(content, file)
        try:
            if not self._files:
                for old in path.parent.glob(f"step_*{mine}.pt"):  # of an earlier start; others' may be new
                    old.unlink()
            self.write(path, file.getvalue())
        except OSError as error:
            return f"; {path} cannot be written ({error.strerror})"
        self._files += 1
        return f"; look at them with python -m benchmarks.replay {path}"


class Statistics:
    """What forward passes change in a network: its buffers, with a copy of what they were."""

    def __init__(self, network: nn.Module):
        groups: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            groups.setdefault(buffer.dtype, []).append(buffer)
        self._groups = list(groups.values())
        self.keep()

    def keep(self) -> None:
        """What they are now is what they are brought back to."""
        self._kept = [_flat(group) for group in self._groups]

    def settle(self, bad: Tensor) -> None:
        """Bring them back where `bad`; what they are then is kept."""
        self._kept = [
            torch.where(bad, kept, _flat(group)) for kept, group in zip(self._kept, self._groups, strict=True)
        ]
        self.restore()

    @torch.no_grad()
    def restore(self) -> None:
        """Bring them back."""
        for kept, group in zip(self._kept, self._groups, strict=True):
            parts = kept.split([buffer.numel() for buffer in group])
            torch._foreach_copy_(group, [part.view_as(buffer) for part, buffer in zip(parts, group, strict=True)])


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _to_host(flags: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Flags on their way to the host, and what tells when they are there; None: they are."""
    if not flags.is_cuda:
        return flags, None
    there = torch.empty(flags.shape, dtype=flags.dtype, pin_memory=True)
    there.copy_(flags, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return there, copied
