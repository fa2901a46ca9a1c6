"""Which numbers of a training step are NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor

from .outcome import Outcome


def are_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Which tensors hold finite numbers alone: (N,) bool on their device, without waiting for it.

    One pass over all of them: sums of absolute values, so that sums beyond the range of a float count as infinite.
    """
    return torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors], 1)).isfinite()


def quantities(outcomes: Sequence[Outcome]) -> dict[str, Tensor]:
    """Numbers of one pass by name, those of all data sets stage by stage: the first that is lost is the cause."""
    stages = zip_longest(*(outcome.numbers for outcome in outcomes), fillvalue={})
    return {
        f"{name} of {outcome.name}": tensor
        for stage in stages
        for outcome, numbers in zip(outcomes, stage, strict=True)
        for name, tensor in numbers.items()
    }
