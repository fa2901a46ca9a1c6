"""Of several processes that train together one dies: the others end soon and say why."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.commands import torchrun
from tests.test_processes import RUN, options
from tests.warm import Command

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc"),
    pytest.mark.usefixtures("thin"),
]


def processes_of(launcher: Command) -> dict[str, int]:
    """Rank -> process id of the trainings a launcher started."""
    found = {}
    for process in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        surrounding = Path(f"/proc/{process}/environ").read_text().split("\0")
        found |= {line.removeprefix("RANK="): int(process) for line in surrounding if line.startswith("RANK=")}
    return found


@pytest.mark.parametrize("dying", ["0", "1"])
def test_the_others_end_within_seconds_and_the_cause_is_shown(street, tmp_path, warm, rounds, dying):
    if dying != "1" and not rounds(0, 1):
        pytest.skip("one of the full matrix")
    words = [*options(street, tmp_path), "--train-num-epochs", "100", "--train-batches-per-epoch", "2"]
    launcher = torchrun(warm, "train.py", *words)
    launcher.until("epoch 2/100 batch 1/2")
    family = processes_of(launcher)
    os.kill(family[dying], signal.SIGKILL)
    killed = time.monotonic()
    assert launcher.wait(60) == 1
    assert time.monotonic() - killed < 10
    said = launcher.stderr
    assert "error: another process of this run has ended or does not answer" in said
    assert "exitcode  : -9" in said and "Signal 9 (SIGKILL)" in said
    assert not any(Path(f"/proc/{pid}").exists() for pid in family.values())
    assert sorted(path.name for path in (tmp_path / RUN / "checkpoints").iterdir()) == ["epoch_1"]
