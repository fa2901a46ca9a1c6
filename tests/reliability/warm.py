"""Commands in processes forked from one that has imported everything: the real script, without the seconds of imports.

What differs from a new interpreter is its end: handlers of `atexit` do not run.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "torch",
        "torchvision",
        "timm",
        "cv2",
        "torch.utils.tensorboard",
        "torch.utils.data",
        "train",
        "eval_depth",
        "eval_segmentation",
        "inference",
        "state_manager",
        "models.sgdepth",
        "losses.step",
        "dataloader.loaders",
        "dataloader.prefetch",
        "perspective_resample.views",
        "visual.report",
        "visual.pictures",
        "evaluation.tables",
    ]
)


@dataclass
class Command:
    """A command at work, or ended; its outputs are files that fill as it goes."""

    process: multiprocessing.Process
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        """Its process id; that of its group, too."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """What it said so far."""
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        """What it complained of so far."""
        return self.err.read_text()

    def wait(self, timeout: float = 120) -> int:
        """Exit code; negative where a signal killed it. Raises `TimeoutError`."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutError(f"still at work after {timeout} s\n{self.stdout}\n{self.stderr}")
        return self.process.exitcode

    def until(self, line: str, timeout: float = 60) -> None:
        """Wait until a line of its output begins so; raises `TimeoutError` or, where it ends before, `EOFError`."""
        end = time.monotonic() + timeout
        while not any(said.startswith(line) for said in self.stdout.splitlines()):
            if not self.process.is_alive():
                raise EOFError(f"ended with {self.process.exitcode}\n{self.stdout}\n{self.stderr}")
            if time.monotonic() > end:
                raise TimeoutError(f"no line {line!r} in {timeout} s\n{self.stdout}\n{self.stderr}")
            time.sleep(0.005)


class Warm:
    """Starts commands; their outputs go into a folder, one pair of files each."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._started: list[Command] = []

    def __call__(
        self,
        script: str,
        *words: object,
        env: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> Command:
        """Start ``python script words...`` in a process group of its own, in the project's folder.

        env: variables to set besides those of a plain environment
        before: called in the new process first, to injure it; a function of a module
        """
        self.folder.mkdir(exist_ok=True)
        number = len(self._started)
        out, err = (self.folder / f"{number}.{name}" for name in ("out", "err"))
        out.touch(), err.touch()
        process = _CONTEXT.Process(target=_become, args=(script, [*map(str, words)], dict(env or {}), before, out, err))
        process.start()
        command = Command(process, out, err)
        self._started.append(command)
        return command

    def run(self, script: str, *words: object, timeout: float = 120, **options: object) -> Command:
        """Start a command and wait for its end."""
        command = self(script, *words, **options)
        command.wait(timeout)
        return command

    def end(self) -> None:
        """Kill what is still at work."""
        for command in self._started:
            if command.process.is_alive():
                command.process.kill()
            command.process.join()
            command.process.close()


def _become(
    script: str, words: list[str], env: dict[str, str], before: Callable[[], None] | None, out: Path, err: Path
) -> None:
    os.setpgid(0, 0)
    for path, number in ((out, 1), (err, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    for stream, number in (("stdout", 1), ("stderr", 2)):
        setattr(sys, stream, os.fdopen(number, "w", buffering=1, closefd=False))
    import torch

    torch.set_num_threads(1)
    multiprocessing.set_start_method(None, force=True)  # that of a new interpreter instead of the one used here
    for name in [name for name in os.environ if name.startswith("IFN_DIR")]:
        del os.environ[name]
    os.environ.update(env)
    os.chdir(ROOT)
    sys.argv = [script, *words]
    if before:
        before()
    runpy.run_path(script, run_name="__main__")
