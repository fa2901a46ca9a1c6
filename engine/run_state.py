"""All that changes while a network trains <-> a checkpoint folder: whole or absent, verified, in the published layout.

A checkpoint is the folder ``checkpoints/epoch_<n>`` of a run, n = finished epochs, or ``epoch_<n>_batch_<b>`` where
the run was stopped inside an epoch. In it: ``model.pth``, ``optim.pth``, ``scheduler.pth`` with state dicts,
``train.pth`` with step and epoch and what exact continuation needs, ``meta.json`` with method, options and versions,
and size and hash of every file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from errors import UserError, reason_of
from storage.atomic import free_bytes
from storage.checkpoint_folder import checkpoints, discard_unused, order, size_of, write
from storage.weights import load_file

from . import ranks
from .optimizer import Schedule, load_optimizer

log = logging.getLogger(__name__)
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pillow")
_version = cache(version)  # which reads the notes of a package again and again


class Stateful(Protocol):
    """Something whose state belongs into checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values; {} where there is nothing to remember."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""


@dataclass
class RunState:
    """All that changes while a network trains.

    `parts` are what else has a state, by the name it is kept under;
    `method` and `options` are noted beside every checkpoint;
    `epoch` finished epochs, `batch` finished steps of the running one, `step` steps in all, `saved_step`
    those of them that the newest checkpoint holds;
    `validation` is what metrics.json would say of the sets judged after the last finished epoch, by set.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    parts: Mapping[str, Stateful] = field(default_factory=dict)
    method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    epoch: int = 0
    batch: int = 0
    step: int = 0
    saved_step: int = 0
    validation: dict[str, Any] = field(default_factory=dict)

    def save(self, run_folder: Path) -> Path:
        """Write a checkpoint folder, whole or not at all, and drop mid-epoch ones it replaces.

        All ranks must call it; the first one writes, and the others wait for it.

        Raises:
            UserError: when the disk is full or the folder cannot be written; earlier checkpoints stay as they are.
        """
        name = f"epoch_{self.epoch}" + (f"_batch_{self.batch}" if self.batch else "")
        folder = run_folder / "checkpoints" / name
        files = self._files()
        with ranks.raising_on_all_ranks():
            if ranks.is_first():
                self._replace(folder, files)
        self.saved_step = self.step
        return folder

    def _replace(self, folder: Path, files: dict[str, Any]) -> None:
        run_folder = folder.parents[1]
        if not run_folder.is_dir():
            log.warning(
                "%s: is gone with all that was in it, options and lock, too; made anew for the checkpoint", run_folder
            )
        try:
            write(folder, files, self._about())
        except OSError as error:
            raise UserError(
                f"{folder}: the checkpoint of {size_of(files)} bytes cannot be written ({error.strerror}; "
                f"{free_bytes(folder)} bytes are free); free some space or choose another --checkpoint-dir, then go on "
                "with --resume auto"
            ) from None
        for other in checkpoints(run_folder):
            if "_batch_" in other.name and order(other) < order(folder):
                discard_unused(other)

    def _files(self) -> dict[str, Any]:
        random_state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            random_state["cuda"] = torch.cuda.get_rng_state_all()
        extra = {name: part.state_dict() for name, part in self.parts.items()}
        return {
            "model.pth": self.model.state_dict(),
            "optim.pth": self.optimizer.state_dict(),
            "scheduler.pth": self.schedule.state_dict(),
            "train.pth": {"step": self.step, "epoch": self.epoch, "batch": self.batch, "random": random_state, **extra},
        }

    def _about(self) -> dict[str, Any]:
        versions = {name: _version(name) for name in _PACKAGES}
        counters = {"epoch": self.epoch, "batch": self.batch, "step": self.step}
        judged = {} if self.batch else self.validation
        options = dict(self.options)
        return {"method": self.method, "options": options, "versions": versions, **counters, "validation": judged}

    def load_progress(self, folder: Path, strict: bool = False) -> bool:
        """Continue with optimiser, schedule and counters of a checkpoint, whose network has been loaded.

        Of a folder without notes each file that is missing is reported. With `strict` nothing may be missing in the
        folder, which was verified.

        Returns: whether all that is there fits.

        Raises:
            UserError: with `strict`, when a part does not fit.
        """
        return all(
            [
                self._load_part(folder / "optim.pth", partial(load_optimizer, self.optimizer), strict),
                self._load_part(folder / "scheduler.pth", self.schedule.load_state_dict, strict),
                self._load_part(folder / "train.pth", self._load_counters, strict),
            ]
        )

    def _load_part(self, path: Path, load: Callable[[Any], None], strict: bool) -> bool:
        if not path.is_file() and not strict:
            log.warning("%s: not there; that part starts afresh", path)
            return True
        try:
            load(load_file(path))
            return True
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
            reason = reason_of(error)
            if strict:
                raise UserError(
                    f"{path}: does not fit this run ({reason}); give the options it was made with, or --overwrite to "
                    "start again"
                ) from None
            log.warning("%s: does not fit and is skipped (%s); that part starts afresh", path, reason)
            return False

    def _load_counters(self, content: dict[str, Any]) -> None:
        epoch, step, batch = map(int, (content["epoch"], content["step"], content.get("batch", 0)))
        if min(epoch, step, batch) < 0:
            raise ValueError("counts below 0")
        self.epoch, self.step, self.batch, self.saved_step = epoch, step, batch, step
        for name, part in self.parts.items():
            if content.get(name):
                part.load_state_dict(content[name])
        random_state = content.get("random", {})
        if "cpu" in random_state:
            torch.set_rng_state(random_state["cpu"])
        if "cuda" in random_state and torch.cuda.device_count() == len(random_state["cuda"]):
            torch.cuda.set_rng_state_all(random_state["cuda"])
