"""What tests of commands share: an untrained network, how a mistake is told, and a training that is stopped."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import torch

from models.sgdepth import SGDepth
from tests.warm import Command, Warm


def error_of(result: CompletedProcess) -> str:
    """The one sentence a command ended with on the user's mistake."""
    assert result.returncode == 2, f"exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert "Traceback" not in result.stderr and lines[-1].startswith("error: "), result.stderr
    return lines[-1]


def assert_told(code: int, error: str, sentence: str) -> None:
    """A command run in this process said one sentence, which begins so (a pattern), and nothing else."""
    assert code == 2
    assert re.match(f"error: {sentence}", error) and error.count("\n") == 1


def write_checkpoint(folder: Path) -> Path:
    """An untrained network whose disparity varies over the image, as published files are: model.pth alone."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    torch.save(SGDepth(disparity_bias=0.0).state_dict(), folder / "model.pth")
    return folder


def torchrun(warm: Warm, *words: object) -> Command:
    """Start a command with thin networks in two processes, each a new interpreter; their launcher is forked."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    return warm(*launcher, "-m", "tests.thinly", *words)


def surroundings(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells the process `rank` of two."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }


@dataclass
class Ranks:
    """A command in two processes, and the store by which they meet: it outlives each of them, as with torchrun."""

    commands: list[Command]
    store: torch.distributed.TCPStore

    @classmethod
    def start(cls, warm: Warm, *words: object, before: Callable[[], None] | None = None) -> Ranks:
        """Both processes, as `Warm` starts them."""
        store = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        outside = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
        environments = [outside | surroundings(rank, store.port) for rank in (0, 1)]
        return cls([warm(*words, env=env, before=before) for env in environments], store)

    def wait(self, timeout: float = 120) -> list[int]:
        """Exit codes, by rank."""
        return [command.wait(timeout) for command in self.commands]

    @property
    def stdout(self) -> str:
        """What they said so far, by rank."""
        return "".join(command.stdout for command in self.commands)

    @property
    def stderr(self) -> str:
        """What they complained of so far, by rank."""
        return "".join(command.stderr for command in self.commands)


def stopped_training(warm: Warm, words: Sequence[str], run_folder: Path, line: str) -> Path:
    """Train until a line begins so, terminate it, and find the one checkpoint that this leaves."""
    training = warm("train.py", *words)
    training.until(line)
    os.kill(training.pid, signal.SIGTERM)
    assert training.wait() == 128 + signal.SIGTERM, training.stdout
    (saved,) = [path for path in (run_folder / "checkpoints").iterdir() if path.name.startswith("epoch_")]
    return saved
