"""What a training on a CPU tells the allocator."""

from __future__ import annotations

import platform
import subprocess
import sys
from argparse import Namespace

import pytest

from engine import device
from storage.allocator import keep_freed_memory

FAULTS = """
import resource
import numpy as np
from storage.allocator import keep_freed_memory
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    before = pages()
    np.empty(64 << 20, np.uint8).fill(1)
    return pages() - before
use()
usual = use()
print(keep_freed_memory())
use()
print(usual, use())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_memory_of_a_freed_tensor_is_used_again(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    told, numbers = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    usual, kept = map(int, numbers.split())
    assert told == "True" and kept < usual / 10


@pytest.mark.parametrize("variable", ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_variables_of_the_environment_win(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    assert not keep_freed_memory()


def test_other_systems_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


@pytest.mark.parametrize(("training", "asked"), [(True, 1), (False, 0)])
def test_only_training_asks_for_it(monkeypatch, training, asked):
    calls: list[None] = []
    monkeypatch.setattr(device, "keep_freed_memory", lambda: calls.append(None))
    args = Namespace(
        sys_cpu=True, sys_device="auto", sys_seed=1, sys_best_effort_determinism=False, train_precision="fp32"
    )
    device.prepare_torch(args, training)
    assert len(calls) == asked
