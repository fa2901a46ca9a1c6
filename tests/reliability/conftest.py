"""How often a fault is injected, and commands without the seconds an interpreter takes to import everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .warm import Warm

Rounds = Callable[[int, int], int]


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """``rounds(quick, full)``: repetitions of a fault; full with ``pytest --full``, as ``make test-long`` runs it."""
    full = request.config.getoption("full")
    return lambda quick, count: count if full else quick


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Warm]:
    """Start commands in warm processes: ``warm("train.py", *words)`` is a `Command`; all are gone after the test."""
    commands = Warm(tmp_path / "outputs")
    yield commands
    commands.end()
