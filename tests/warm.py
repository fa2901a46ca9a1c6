"""Commands in processes forked from one that has imported everything: the real program, without the seconds of imports.

What differs from a new interpreter is its end, handlers of `atexit` do not run, what it has imported already, and that
it does not wait for disks; tests/test_cold_starts.py starts every command as a user does.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import thin

ROOT = Path(__file__).parents[1]
IMPORTED = (
    "pytest",
    "torch",
    "torch._dynamo",  # what optimizers import when the first one is made
    "torch.utils.data",
    "torch.utils.tensorboard",
    "torchvision",
    "timm",
    "cv2",
    "matplotlib.colors",
    "train",
    "eval_depth",
    "eval_pose",
    "eval_segmentation",
    "inference",
    "state_manager",
    "models.dpt",
    "methods.monodepth2.build",
    "methods.monodepth2.training",
    "models.bdedepth",
    "models.monodepth2",
    "models.sgdepth",
    "methods.dpt.build",
    "methods.sgdem.build",
    "methods.sgdem.keys",
    "methods.sgdem.training",
    "methods.sgdepth.build",
    "methods.sgdepth.training",
    "dataloader.layouts.cityscapes",
    "dataloader.layouts.odometry",
    "dataloader.loaders",
    "dataloader.prefetch",
    "engine.bad_steps",
    "engine.device",
    "engine.keeping",
    "engine.stopping",
    "perspective_resample.views",
    "street",
    "visual.report",
    "visual.pictures",
    "visual.results",
    "visual.video",
    "evaluation.depth",
    "evaluation.judging",
    "evaluation.pose",
    "evaluation.segmentation",
    "evaluation.tables",
    "tests.conftest",
    "tests.settled",  # the last one
)
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(IMPORTED))


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
    def returncode(self) -> int | None:
        """Exit code; negative where a signal killed it, None while it is at work."""
        return self.process.exitcode

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

    def until(self, line: str, timeout: float = 60, count: int = 1) -> None:
        """Wait until `count` lines it said begin so; raises `TimeoutError` or, where it ends before, `EOFError`."""
        end = time.monotonic() + timeout
        while sum(said.startswith(line) for said in self.stdout.splitlines()) < count:
            if not self.process.is_alive():
                raise EOFError(f"ended with {self.process.exitcode}\n{self.stdout}\n{self.stderr}")
            if time.monotonic() > end:
                raise TimeoutError(f"no line {line!r} in {timeout} s\n{self.stdout}\n{self.stderr}")
            time.sleep(0.005)


class Warm:
    """Starts commands; their outputs go into a folder, one pair of files each."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._number = 0
        self._started: list[Command] = []

    def __call__(
        self,
        *words: object,
        env: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
        cwd: Path = ROOT,
    ) -> Command:
        """Start ``python words...`` in a process group of its own: a script, ``-m`` a module or ``-c`` a text.

        env: variables to set besides those of a plain environment
        before: called in the new process first, to injure it; a function of a module
        """
        self.folder.mkdir(exist_ok=True)
        out, err = (self.folder / f"{self._number}.{name}" for name in ("out", "err"))
        self._number += 1
        out.touch(), err.touch()
        process = _CONTEXT.Process(
            target=_become, args=([*map(str, words)], environment(env), before, cwd.resolve(), out, err, thin.is_on())
        )
        process.start()
        command = Command(process, out, err)
        self._started.append(command)
        return command

    def run(self, *words: object, timeout: float = 120, **options: object) -> Command:
        """Start a command and wait for its end."""
        command = self(*words, **options)
        command.wait(timeout)
        return command

    def end(self) -> None:
        """Kill what is still at work."""
        for command in self._started:
            if command.process.is_alive():
                command.process.kill()
            command.process.join()
            command.process.close()
        self._started.clear()


class ThinPools:
    """As a context of `multiprocessing` that spawns: pools of fresh processes, here warm and with thin networks."""

    @staticmethod
    def Pool(processes: int) -> multiprocessing.pool.Pool:  # noqa: N802
        return _CONTEXT.Pool(processes, initializer=thin.make_thin)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of a plain shell, whatever folders of data this machine has, and some more variables."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("IFN_DIR")}
    return {**plain, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **(more or {})}


def cold(
    *words: object, timeout: float = 180, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess:
    """``python words...`` in an interpreter of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment(env),
    )


def _become(
    words: list[str],
    env: dict[str, str],
    before: Callable[[], None] | None,
    cwd: Path,
    out: Path,
    err: Path,
    is_thin: bool,
) -> None:
    os.setpgid(0, 0)
    for path, mode, number in ((Path(os.devnull), os.O_RDONLY, 0), (out, os.O_WRONLY, 1), (err, os.O_WRONLY, 2)):
        handle = os.open(path, mode | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")
    import torch

    from tests.conftest import leave_writing_to_the_system

    torch.set_num_threads(1)
    multiprocessing.set_start_method(None, force=True)  # that of a new interpreter instead of the one used here
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    leave_writing_to_the_system()
    if is_thin:
        thin.make_thin()
    if before:
        before()
    _execute(*words)


def _execute(first: str, *words: str) -> None:
    """What the interpreter does with its words."""
    if first == "-c":
        main = type(sys)("__main__")
        sys.modules["__main__"], sys.argv = main, ["-c", *words[1:]]
        exec(compile(words[0], "<string>", "exec"), main.__dict__)
    elif first == "-m":
        sys.argv = [*words]
        if not hasattr(sys.modules.get(words[0]), "__path__"):
            sys.modules.pop(words[0], None)  # else runpy warns
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *words]
        runpy.run_path(first, run_name="__main__")
