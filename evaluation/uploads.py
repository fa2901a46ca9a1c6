"""Predictions for a server that has the truth, as the KITTI depth prediction benchmark wants them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from errors import UserError

from .alignment import alignment_of
from .depth import predicted
from .interface import Batches, Predict
from .mirroring import with_mirror_image
from .protocols import DepthProtocol

COUNTS_PER_METRE = 256


@torch.inference_mode()
def predicted_counts(
    predict: Predict, batches: Batches, protocol: DepthProtocol, *, fixed_scaling: float = 0.0
) -> Iterator[tuple[str, np.ndarray]]:
    """Depth of every image at its own size, clamped as the protocol says.

    predict, fixed_scaling: as in `evaluate_depth`

    Yields: the name of an image and its depth (H, W) uint16, 1/256 m truncated.

    Raises: UserError when depth is not known in metres and no scale is given, or there is a value that is not finite.
    """
    if protocol.flip:
        predict = with_mirror_image(predict, blend=protocol.blend)
    for batch in batches:
        for truth, found in zip(batch.truth, predicted(predict, batch, protocol), strict=True):
            alignment = alignment_of(found.known, protocol.alignment, fixed_scaling)
            if alignment not in ("none", "fixed"):
                raise UserError(
                    f"{batch.spec.domain}: the network knows depth {found.known}, and there is no truth to tell the "
                    "rest; pass --depth-validation-fixed-scaling (5.4 for published stereo networks), or evaluate a "
                    "network of metres"
                )
            depth = found.at(truth.image.shape[:2], protocol.resize).depth()[0, 0].float()
            depth = depth * (fixed_scaling if alignment == "fixed" else 1.0)
            if not torch.isfinite(depth).all():
                raise UserError(
                    f"{batch.spec.domain}: the network gives NaN or infinite numbers for {truth.name}; evaluate "
                    "another checkpoint"
                )
            counts = (depth.clamp(*protocol.clamp) * COUNTS_PER_METRE).cpu().numpy()
            yield truth.name, counts.astype(np.uint16)
