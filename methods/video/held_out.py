"""How well a network explains video that it does not learn from: what is measured where own data have no depth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataloader.batch import Batch
from evaluation.interface import Everywhere, Predict, PredictPose, alone, joined_names, require_finite
from evaluation.rows import Rows
from losses.photometric import Reference, least_error
from perspective_resample.warp import sampling_grid, warp


@dataclass(frozen=True)
class Explained:
    """What the frames of a video look like when they are put together from their neighbours.

    errors (N, 2), of every frame: the photometric error of whichever neighbour explains a pixel best, mean over the
    pixels, as the network moves the neighbours and as they are; in [0, 1].
    size: height and width of the frames as the network sees them.
    """

    domain: str
    names: tuple[str, ...]
    errors: np.ndarray
    size: tuple[int, int]

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the frames; a network is of use where the first is below the second."""
        moved, unmoved = self.errors.mean(axis=0, dtype=np.float64).tolist()
        return {"photometric": moved, "photometric_unmoved": unmoved}

    def scalars(self) -> dict[str, float]:
        """The metrics under their TensorBoard names."""
        return self.metrics

    def protocol(self, frame_step: int) -> dict[str, Any]:
        """How they were measured, as checkpoints note it: what was measured otherwise says nothing of which is better.

        frame_step: how many frames away the neighbours are
        """
        return {
            "ground_truth": "none, the frames before and after",
            "error": "0.85 dissimilarity, 0.15 difference",
            "size": [*self.size],
            "frame_step": frame_step,
        }


@torch.inference_mode()
def explain(
    predict: Predict, predict_motion: PredictPose, batches: Iterable[Batch], everywhere: Everywhere = alone
) -> Explained:
    """Measure the frames of a video with their neighbours -1 and 1.

    predict_motion: images in temporal order -> (B, 4, 4), points of the first camera to the second
    everywhere:     gathers what all ranks found in their batches

    Raises:
        UserError: where predictions are not finite.
    Source: the error of Monodepth2 (arXiv 1806.01260), eq. 2 and 4, at the finest resolution, without its automask.
    """

    def share() -> Explained:
        names: list[str] = []
        found, domain, size = Rows(), "", (0, 0)
        for batch in batches:
            domain, size = batch.spec.domain, tuple(batch.inputs[0].shape[-2:])
            names += [truth.name for truth in batch.truth]
            for row in _errors(predict, predict_motion, batch):
                found.append(row)
        return Explained(domain, tuple(names), found.table().numpy() if found else np.zeros((0, 2), np.float32), size)

    shares = everywhere(share)
    domain, names = joined_names(shares)
    errors = np.concatenate([each.errors for each in shares])
    require_finite(domain, names, np.isfinite(errors).all(axis=1))
    # A rank without a batch has seen none.
    return Explained(domain, names, errors, max(each.size for each in shares))


def _errors(predict: Predict, predict_motion: PredictPose, batch: Batch) -> Tensor:
    """Errors (B, 2) of the frames of a batch: neighbours as they are moved, and as they are."""
    before, frame, after = (batch.inputs[offset] for offset in (-1, 0, 1))
    depth = predict(frame).depth.at(tuple(frame.shape[-2:])).depth().float()
    # Points of the frame in the cameras of its neighbours.
    motion = torch.stack([predict_motion(before, frame).float().inverse(), predict_motion(frame, after).float()])
    finite = depth.isfinite().flatten(1).all(1) & motion.isfinite().flatten(2).all(2).all(0)
    neighbours = torch.stack([before, after])
    moved = warp(neighbours, sampling_grid(depth, batch.K, batch.inv_K, motion))
    reference = Reference.of(frame)
    errors = [least_error({-1: images[0], 1: images[1]}, reference).mean((1, 2)) for images in (moved, neighbours)]
    # The warp reads coordinates that are not a number as the centre.
    return torch.where(finite[:, None], torch.stack(errors, 1), torch.nan)
