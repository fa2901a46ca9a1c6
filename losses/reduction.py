"""How a sum becomes a mean where a batch is shared among ranks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Denominator = Callable[[Tensor], Tensor]
"""Scalar count of this rank, without gradient -> what it divides its sum by, at least 1.

So that the mean over the ranks is that over everything they counted, a training on several ranks passes the count of
all, divided by the number of ranks.
"""


def own_count(count: Tensor) -> Tensor:
    """The `Denominator` of one rank."""
    return count.clamp(min=1)
