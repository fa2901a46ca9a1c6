"""How far what a file computes is from what the network says that it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

LABELS = "labels"


@dataclass(frozen=True)
class Agreement:
    """Of several pictures.

    largest: largest relative difference of a pixel, |b - a| / |a|
    abs_rel: its mean
    changed: share of the pixels that have another label
    """

    largest: float
    abs_rel: float
    changed: float
    pictures: int

    def __str__(self) -> str:
        labels = f", other labels for {self.changed:.2%} of the pixels" if self.changed else ""
        images = "1 picture" if self.pictures == 1 else f"{self.pictures} pictures"
        return f"largest relative difference {self.largest:.1e} on {images}{labels}"


Maps = Mapping[str, np.ndarray]


def agreement(wanted: Iterable[Maps], found: Iterable[Maps], relative: bool = False) -> Agreement:
    """Compare maps by the names of outputs, picture by picture.

    relative: depth is known up to a shift: differences are measured by the span of values of a picture

    Raises:
        ValueError: when outputs have other names or shapes.
    """
    largest, means, changed = 0.0, [], []
    for ours, theirs in zip(wanted, found, strict=True):
        if {name: each.shape for name, each in ours.items()} != {name: each.shape for name, each in theirs.items()}:
            raise ValueError(f"outputs {sorted(ours)} became {sorted(theirs)}, or have other shapes")
        for name, a in ours.items():
            b = theirs[name]
            if name == LABELS:
                changed.append(float((a != b).mean()))
                continue
            a, b = a.astype(np.float64), b.astype(np.float64)
            off = np.abs(b - a) / (np.ptp(a) if relative else np.abs(a))
            largest = max(largest, float(np.nan_to_num(off, nan=np.inf).max()))
            means.append(float(off.mean()))
    return Agreement(largest, float(np.mean(means)), max(changed, default=0.0), len(means))
