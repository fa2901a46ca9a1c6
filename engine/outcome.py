"""What a run looks at after a step; nothing of the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


class Look(Protocol):
    """What is asked about a batch of one data set on logging steps only; reads the device."""

    def measures(self) -> Mapping[str, Tensor]:
        """Scalars for TensorBoard besides the losses."""

    def pictures(self) -> Mapping[str, Tensor]:
        """Pictures (3, H, W) in [0, 1] for TensorBoard."""

    def doubt(self) -> str:
        """A sentence where the prediction looks collapsed; else empty."""


@dataclass(frozen=True)
class Outcome:
    """One data set's part of a step.

    name:    of the data set, in logs
    total:   scalar loss
    terms:   scalars it is made of, for the log
    numbers: tensors that must be finite, by name, stage by stage in the order in which they were made
    look:    asked on logging steps
    raw:     the batch as the loader gave it, for replay: `images` (B, F, 3, H, W) bytes, `names`, `plain()`
    found:   what replay needs besides: masks, targets; tensors and plain values
    """

    name: str
    total: Tensor
    terms: Mapping[str, Tensor]
    numbers: Sequence[Mapping[str, Tensor]]
    look: Look
    raw: Any
    found: Mapping[str, Any] = field(default_factory=dict)
