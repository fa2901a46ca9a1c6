"""``python -m benchmarks.threads``: what the environment of a process makes of a step, alone and beside others.

How threads wait, how many there are, and where memory for large tensors comes from is settled when a process starts.
So every way has a process of its own; they take a step in turn, and those whose turn it is not are stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
GIVING_BACK = {"MALLOC_PERTURB_": "0"}
"""Changes nothing, but `storage.allocator` then leaves the allocator as it is."""
OURS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", *GIVING_BACK, "THP_MEM_ALLOC_ENABLE")
"""Variables that only a way sets."""
CHILD = "import torch; from benchmarks.threads import main; main()"
"""OpenMP has read its variables before the package of the measurements sets the one that it wants for itself."""
Taken = tuple[float, float, float]
"""Seconds of a step on the clock and of the processors, and the most memory of its process so far, GB."""


@dataclass(frozen=True)
class Way:
    """Variables of the environment, and how many of the cores have no thread."""

    variables: Mapping[str, str]
    fewer: int = 0


WAYS = {
    "asleep (as the commands ask for it)": Way(SLEEP),
    "as OpenMP waits by itself": Way({}),
    "spinning": Way({"OMP_WAIT_POLICY": "ACTIVE"}),
    "1 000 spins, then asleep": Way({"GOMP_SPINCOUNT": "1000"}),
    "10 000 spins": Way({"GOMP_SPINCOUNT": "10000"}),
    "100 000 spins": Way({"GOMP_SPINCOUNT": "100000"}),
    "asleep, a thread less": Way(SLEEP, fewer=1),
    "asleep, memory of freed tensors given back": Way(SLEEP | GIVING_BACK),
    "asleep, huge pages": Way(SLEEP | {"THP_MEM_ALLOC_ENABLE": "1"}),
}


class Process:
    """A process of its own that takes steps when it is told; stopped in between."""

    def __init__(self, way: Way, words: Sequence[str]):
        plain = {name: value for name, value in os.environ.items() if name not in OURS}
        threads = max(1, (os.cpu_count() or 1) - way.fewer)
        command = [sys.executable, "-c", CHILD, "--child", str(threads), *words]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=plain | way.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()  # it has taken a step to warm up
        self._process.send_signal(signal.SIGSTOP)

    def step(self) -> Taken:
        """One step."""
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        found = self._answer()
        self._process.send_signal(signal.SIGSTOP)
        return found

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Taken:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with {self._process.wait()}")
        wall, processor, memory = map(float, line.split())
        return wall, processor, memory


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that never wait."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measured(
    ways: Mapping[str, Way], words: Sequence[str], rounds: int, others: Sequence[int]
) -> dict[int, dict[str, list[Taken]]]:
    """Steps of every way, in turn, beside so many busy processes."""
    processes: dict[str, Process] = {}
    try:
        for name, way in ways.items():
            processes[name] = Process(way, words)
        found: dict[int, dict[str, list[Taken]]] = {}
        for count in others:
            found[count] = {name: [] for name in ways}
            with busy(count):
                for _ in range(rounds):
                    for name, process in processes.items():
                        found[count][name].append(process.step())
        return found
    finally:
        for process in processes.values():
            process.end()


def _child(threads: int, size: tuple[int, int], batch: int, data: str) -> None:
    """Take a step, and one more for every line of the standard input."""
    from dataclasses import replace

    import torch

    from .train_step import STEPS, TrainStep, most_resident, street_folder

    torch.set_num_threads(threads)
    with nullcontext(data) if data else street_folder() as data:
        step = TrainStep(replace(STEPS["SGDepth, ResNet-18"], size=size, batch=batch, data=data))
    while True:
        start, before = time.perf_counter(), time.process_time()
        step()
        taken = (time.perf_counter() - start, time.process_time() - before, most_resident() / 1e9)
        print(*taken, flush=True)
        if not sys.stdin.readline():
            return


def main() -> None:
    """Print the table: a row for every way, ratios to the first one, round by round."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="steps of every way")
    parser.add_argument("--busy", type=int, nargs="*", default=[0, 1, 2], help="numbers of busy processes beside it")
    parser.add_argument("--size", type=int, nargs=2, default=[192, 640], help="height and width of the images")
    parser.add_argument("--batch", type=int, default=2, help="triplets, and as many labelled images")
    parser.add_argument("--data", default="", help="data set folder of a street; one is rendered without it")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _child(args.child, tuple(args.size), args.batch, args.data)
        return
    from .turns import ratio

    words = ["--size", *map(str, args.size), "--batch", str(args.batch), "--data", args.data]
    found = measured(WAYS, words, args.rounds, args.busy)
    print("| step of SGDepth, ResNet-18, fp32 | beside | s on the clock | ratio | s of the processors | ratio | GB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for count, table in found.items():
        first = [*zip(*next(iter(table.values())), strict=True)]
        for name, steps in table.items():
            wall, processor, memory = zip(*steps, strict=True)
            print(
                f"| {name} | {count} busy | {median(wall):.3f} | {ratio(wall, first[0])} | {median(processor):.3f} "
                f"| {ratio(processor, first[1])} | {memory[-1]:.2f} |"
            )


if __name__ == "__main__":
    main()
