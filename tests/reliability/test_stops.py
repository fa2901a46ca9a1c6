"""Trainings that are killed or asked to stop at any moment end with the weights of the undisturbed one, bit for bit."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import tiny_options
from tests.warm import Command, Warm

from .conftest import Rounds
from .injuries import children, note_batches, signal_in

RUN = Path("sgdepth_eccv_test/sgdepth_base")
LAST = RUN / "checkpoints/epoch_2"
STEPS = 3  # per epoch, of two
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc"),
    pytest.mark.usefixtures("thin"),
]


def options(street: Path, folder: Path, workers: int = 0) -> list[str]:
    """Two short epochs with what has a state: moments, schedule, warm-up, statistics of the masking."""
    return [
        *tiny_options(street, folder),
        "--train-warmup-steps",
        "4",
        "--masking-enable",
        "--masking-from-epoch",
        "0",
        "--masking-linear-increase",
        "--sys-seed",
        "7",  # whose first network finds objects that move
        "--depth-validation-loaders",
        "kitti_zhou_validation",
        "--sys-num-workers",
        str(workers),
        "--resume",
        "auto",
    ]


@pytest.fixture(scope="module")
def whole(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the undisturbed run; `seen` in it lists the batches."""
    folder = tmp_path_factory.mktemp("whole")
    warm = Warm(folder / "outputs")
    done = warm.run("train.py", *options(street, folder), before=partial(note_batches, folder / "seen"))
    assert done.wait() == 0, done.stderr
    warm.end()
    return folder


def differences(first: Any, second: Any, where: str = "") -> list[str]:
    """Places in which two nested states differ by as little as a bit."""
    if isinstance(first, dict) and isinstance(second, dict) and list(first) == list(second):
        return [line for key in first for line in differences(first[key], second[key], f"{where}.{key}")]
    if isinstance(first, list | tuple) and isinstance(second, list | tuple) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{where}.{number}")]
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same = first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()  # NaN is NaN
    else:
        same = type(first) is type(second) and (first == second or first != first and second != second)
    return [] if same else [where]


def assert_same_state(first: Path, second: Path) -> None:
    """Two checkpoints agree in all that a run goes on from."""
    for name in ("model.pth", "optim.pth", "scheduler.pth", "train.pth"):
        a, b = (torch.load(folder / name, weights_only=True) for folder in (first, second))
        different = differences(a, b)
        assert not different, f"{name}: {len(different)} differ, {different[:3]}"


def steps_saved(folder: Path) -> list[int]:
    """Steps that the checkpoints of a run hold."""
    return sorted(
        torch.load(path / "train.pth", weights_only=True)["step"]
        for path in (folder / RUN / "checkpoints").glob("epoch_*")
    )


Family = dict[int, str]
"""Process ids, and when each process began: ids are used again."""


def family_of(pid: int) -> Family:
    """A process with all its descendants that have not ended."""
    found = {member: began(member) for member in {pid} | children(pid)}
    return {member: start for member, start in found.items() if start}


def began(pid: int) -> str:
    """When a process began; "" where it has ended, also where nobody has asked for its exit code yet."""
    try:
        state, *_, start = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[:20]
    except OSError:
        return ""
    return "" if state == "Z" else start


def ended(command: Command, timeout: float = 120) -> tuple[int, Family]:
    """Exit code, and all processes it has ever been seen with."""
    family, end = {}, time.monotonic() + timeout
    while command.process.is_alive() and time.monotonic() < end:
        family |= family_of(command.pid)
        command.process.join(0.02)
    return command.wait(1), family


def assert_nothing_left(family: Family) -> None:
    """No process lives on, no shared memory stays; processes of a loader look for their parent every five seconds."""
    end = time.monotonic() + 20
    while alive := [pid for pid, start in family.items() if began(pid) == start]:
        assert time.monotonic() < end, f"processes {alive} are left"
        time.sleep(0.05)
    left = [path.name for path in Path("/dev/shm").glob("torch_*") if int(path.name.split("_")[1]) in family]
    assert not left


def test_equal_states_are_told_from_others(whole, tmp_path):
    state = torch.load(whole / LAST / "train.pth", weights_only=True)
    assert {"masking", "random", "step", "epoch"} <= set(state) and state["masking"]["ious"].min() > 0
    changed = state | {"random": {"cpu": state["random"]["cpu"].flip(0)}, "step": 7}
    assert differences(state, state) == [] and differences(state, changed) == [".step", ".random.cpu"]


@pytest.mark.parametrize(("step", "before", "after"), [(2, 0, 2), (4, 2, 0), (1, 1, 2)])
def test_a_run_stopped_inside_an_epoch_goes_on_with_other_workers_as_if_nothing_had_been(
    whole, street, tmp_path, warm, rounds: Rounds, step, before, after
):
    if step not in (2, rounds(2, step)):
        pytest.skip("one of the full matrix")
    seen = tmp_path / "seen"
    stop = partial(signal_in, "optimizer", signal.SIGTERM, "process", step)
    stopped = warm("train.py", *options(street, tmp_path, before), before=partial(note_batches, seen, stop))
    code, family = ended(stopped)
    assert code == 143, stopped.stderr
    assert_nothing_left(family)
    assert steps_saved(tmp_path)[-1] == step and len(seen.read_text().splitlines()) == step
    done = warm.run("train.py", *options(street, tmp_path, after), before=partial(note_batches, seen))
    assert done.wait() == 0, done.stderr
    assert_same_state(whole / LAST, tmp_path / LAST)
    assert seen.read_text() == (whole / "seen").read_text() and seen.read_text().count("\n") == 2 * STEPS


def test_scaled_gradients_of_several_batches_are_not_cut_apart(street, tmp_path, warm):
    words = (
        "--train-accumulate",
        2,
        "--train-precision",
        "fp16",
        "--train-num-epochs",
        1,
        "--depth-training-batch-size",
        1,
    )
    parts = tmp_path / "parts"
    reference = warm.run("train.py", *options(street, tmp_path), *words)
    assert reference.wait() == 0, reference.stderr
    stop = partial(signal_in, "forward", signal.SIGTERM, "process", 1)
    assert warm.run("train.py", *options(street, parts), *words, before=stop).wait() == 143
    assert [path.name for path in (parts / RUN / "checkpoints").glob("epoch_*")] == ["epoch_0_batch_2"]
    done = warm.run("train.py", *options(street, parts, workers=1), *words)
    assert done.wait() == 0, done.stderr
    last = LAST.with_name("epoch_1")
    assert "scaler" in torch.load(parts / last / "train.pth", weights_only=True)
    assert_same_state(tmp_path / last, parts / last)
    moments = torch.load(parts / last / "optim.pth", weights_only=True)["state"]
    assert max(moment["step"] for moment in moments.values()) <= 2


PHASES = {
    "loading": (0,),
    "waiting": (2,),
    "forward": (0, 2),
    "backward": (0, 2),
    "optimizer": (0, 2),
    "validation": (0, 2),
    "saving": (0, 2),
}
WAYS = [
    (phase, workers, number, target)
    for phase, counts in PHASES.items()
    for workers in counts
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for target in ("process", "group", "tree")
]
QUICK = [
    ("loading", 0, signal.SIGINT, "group"),
    ("validation", 2, signal.SIGTERM, "tree"),
    ("saving", 0, signal.SIGHUP, "process"),
]


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_a_signal_in_any_phase_saves_within_a_step_and_leaves_nothing_behind(
    whole, street, tmp_path, warm, rounds: Rounds, way
):
    ways = WAYS if rounds(0, 1) else QUICK
    if way >= len(ways):
        pytest.skip("one of the full matrix")
    phase, workers, number, target = ways[way]
    injury = partial(signal_in, phase, number, target, 1 if phase in ("validation", "saving") else 2)
    stopped = warm("train.py", *options(street, tmp_path, workers), before=injury)
    code, family = ended(stopped)
    assert code == 128 + number, f"{stopped.stdout}\n{stopped.stderr}"
    assert "Traceback" not in stopped.stderr
    assert_nothing_left(family)
    reached = {"validation": STEPS, "saving": STEPS, "loading": 1, "waiting": 1}.get(phase, 2)
    assert reached <= steps_saved(tmp_path)[-1] <= reached + 1
    done = warm.run("train.py", *options(street, tmp_path, workers))
    assert done.wait() == 0, done.stderr
    assert_same_state(whole / LAST, tmp_path / LAST)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(street, tmp_path, warm, rounds: Rounds, number):
    if number != rounds(signal.SIGINT, number):
        pytest.skip("one of the full matrix")
    hang = partial(signal_in, "forward", number, "process", 2, True)
    stuck = warm("train.py", *options(street, tmp_path, workers=1), before=hang)
    stuck.until("epoch 1/2 batch 1/3")
    family = family_of(stuck.pid)
    time.sleep(1)
    assert stuck.process.is_alive() and len(family) > 1
    os.kill(stuck.pid, number)
    assert stuck.wait(20) == 128 + number
    assert_nothing_left(family)


def test_a_run_killed_again_and_again_ends_with_the_weights_of_the_undisturbed_one(
    whole, street, tmp_path, warm, rounds: Rounds
):
    moments, killed, families = random.Random(4), 0, {}
    for number in range(rounds(2, 10)):
        victim = warm("train.py", *options(street, tmp_path, workers=number % 3))
        with contextlib.suppress(EOFError):  # the one before came to the end
            victim.until("epoch")
            time.sleep(moments.uniform(0, 0.5))
        family = family_of(victim.pid)
        if victim.process.is_alive():
            os.kill(victim.pid, signal.SIGKILL)
            killed += 1
            assert victim.wait() == -signal.SIGKILL
            families |= family
        else:
            assert victim.wait() == 0, victim.stderr
    assert killed
    assert_nothing_left(families)
    done = warm.run("train.py", *options(street, tmp_path))
    assert done.wait() == 0, done.stderr
    assert_same_state(whole / LAST, tmp_path / LAST)
