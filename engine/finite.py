"""Which numbers of a training step are none: NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from losses.step import Outcome


def are_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Which tensors hold finite numbers alone: (N,) bool on their device, without waiting for it.

    One pass over all of them: sums of absolute values, so that sums beyond the range of a float count as infinite.
    """
    return torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors], 1)).isfinite()


def quantities(outcomes: Sequence[Outcome]) -> dict[str, Tensor]:
    """Numbers of one pass by name, in the order in which they come about: what went in, was predicted, was compared."""
    given: dict[str, Tensor] = {}
    predicted: dict[str, Tensor] = {}
    compared: dict[str, Tensor] = {}
    for outcome in outcomes:
        of, batch, prediction = f"of {outcome.batch.spec.domain}", outcome.batch, outcome.prediction
        given |= {f"image {frame} {of}": image for frame, image in batch.images.items()}
        given |= {f"jittered image {frame} {of}": image for frame, image in batch.inputs.items()}
        given |= {f"intrinsics {of}": batch.K, f"inverse intrinsics {of}": batch.inv_K}
        given |= {} if batch.teacher is None else {f"cached teacher {of}": batch.teacher}
        predicted |= {f"disparity {r} {of}": disp for r, disp in prediction.disp.items()}
        predicted |= {} if prediction.logits is None else {f"class scores {of}": prediction.logits}
        predicted |= {f"motion {frame} {of}": motion for frame, motion in prediction.motion.items()}
        predicted |= {f"refined disparity {of}": outcome.refined.disparity} if outcome.refined else {}
        compared |= {f"{name} {of}": term for name, term in outcome.terms.items()} | {f"loss {of}": outcome.total}
    return given | predicted | compared
