"""What is done to a command in its own process, before it begins: signals at exact places, and a look at what it sees.

Every function here is for the `before` of a warm command, with its arguments bound by `functools.partial`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def _places() -> dict[str, tuple[object, str]]:
    """Phase of a training -> where it happens, in the process that trains."""
    import state_manager
    from dataloader.dataset import TrainingSet
    from evaluation import depth
    from models.sgdepth import SGDepth

    return {
        "loading": (TrainingSet, "__getitems__"),
        "waiting": (torch.utils.data.dataloader._BaseDataLoaderIter, "__next__"),
        "forward": (SGDepth, "forward"),
        "backward": (Tensor, "backward"),
        "optimizer": (torch.optim.Adam, "step"),
        "validation": (depth, "native_depth"),
        "saving": (state_manager.torch, "save"),
    }


def children(pid: int) -> set[int]:
    """Process ids of all descendants."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # ended in between
        return set()
    found = {int(child) for task in tasks for child in _read(task / "children").split()}
    return found.union(*map(children, found))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # ended in between
        return ""


def signal_in(phase: str, number: int, target: str = "process", time_of_phase: int = 2, hang: bool = False) -> None:
    """Send a signal at the end of a phase, the n-th time that it is gone through.

    target: "process"; "group", as a terminal does; "tree", as a job scheduler does
    hang: do not come back from the phase
    """
    place, name = _places()[phase]
    whole, owner, seen = getattr(place, name), os.getpid(), []

    def signalling(*args: Any, **options: Any) -> Any:
        found = whole(*args, **options)
        if os.getpid() == owner:
            seen.append(phase)
            if len(seen) == time_of_phase:
                _send(number, target)
                while hang:
                    time.sleep(0.01)
        return found

    setattr(place, name, signalling)


def _send(number: int, target: str) -> None:
    if target == "tree":
        family = children(os.getpid())
        if not (stranger := os.fork()):  # what a parent sends its loaders is something else
            for child in family:
                os.kill(child, number)
            os._exit(0)
        os.waitpid(stranger, 0)
    if target == "group":
        os.killpg(os.getpgrp(), number)
    else:
        os.kill(os.getpid(), number)


def note_batches(path: Path, then: Callable[[], None] | None = None) -> None:
    """Add a line to a file for every step that is trained on: what its batches hold, with augmentation."""
    from dataloader.loaders import TrainingData

    whole = TrainingData.epoch

    def noting(self: TrainingData, epoch: int, start: int = 0) -> Any:
        for step in whole(self, epoch, start):
            digest = hashlib.sha256()
            for batch in step:
                _digest(vars(batch), digest)
            with path.open("a") as file:
                file.write(f"{epoch} {digest.hexdigest()}\n")
            yield step

    TrainingData.epoch = noting
    if then:
        then()


def _digest(value: Any, digest: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(value.contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            _digest(value[key], digest)
