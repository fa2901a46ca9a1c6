"""What the evaluation loops expect of data and networks; anything of this shape will do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from torch import Tensor

from errors import UserError


class Loader(Protocol):
    """The part of a loader's description that results are named by."""

    domain: str


class Truth(Protocol):
    """Ground truth of one image at its own size; what a loader does not have is None."""

    name: str
    image: np.ndarray
    depth: np.ndarray | None
    labels: np.ndarray | None
    pose: np.ndarray | None


class Batch(Protocol):
    """Network inputs {frame: (B, 3, H, W) in [0, 1]} on the device, with one `Truth` per sample."""

    spec: Loader
    inputs: Mapping[int, Tensor]
    truth: tuple[Truth, ...]


Batches = Iterable[Batch]
Predict = Callable[[Tensor], Any]
"""Images (B, 3, H, W) in [0, 1] -> object with `.depth` (a `DepthMap`) or `.logits` (B, C, H, W)."""

PredictPose = Callable[[Tensor, Tensor], Tensor]
"""First and second images (B, 3, H, W) -> (B, 4, 4), points of the first camera to the second."""

Found = TypeVar("Found")
Everywhere = Callable[[Callable[[], Found]], list[Found]]
"""Does a work on the images of this rank -> the results of all ranks, in the order of the images."""


def alone(work: Callable[[], Found]) -> list[Found]:
    """The `everywhere` of a loop whose caller has all images."""
    return [work()]


class Share(Protocol):
    """What one rank found in its images."""

    domain: str
    names: tuple[str, ...]


def joined_names(shares: Sequence[Share]) -> tuple[str, tuple[str, ...]]:
    """Domain, which a share without images does not know, and all names."""
    return max(share.domain for share in shares), tuple(name for share in shares for name in share.names)


def require_finite(domain: str, names: Sequence[str], finite: np.ndarray) -> None:
    """Check that predictions are finite; raises `UserError` naming the first of the images for which they are not.

    finite: (N,) bool, whether they are for each of the N names
    """
    missing = np.flatnonzero(~finite)
    if len(missing):
        raise UserError(
            f"{domain}: the network gives NaN or infinite numbers for {len(missing)} of {len(names)} "
            f"images, the first of them {names[missing[0]]}; evaluate another checkpoint"
        )


def ignore(*_: object) -> None:
    """The `on_image` of a loop whose caller wants no pictures."""
