"""How often a fault is injected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Rounds = Callable[[int, int], int]


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """``rounds(quick, full)``: repetitions of a fault; full with ``pytest --full``, as ``make test-long`` runs it."""
    full = request.config.getoption("full")
    return lambda quick, count: count if full else quick
