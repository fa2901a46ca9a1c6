"""Absolute trajectory error over windows of five frames (Zhou et al., arXiv 1704.07813)."""

from dataclasses import dataclass

import numpy as np
import torch

from errors import UserError

from .interface import Batches, Everywhere, PredictPose, alone, joined_names, require_finite
from .rows import Rows

WINDOW = 5
"""Frames per window; one fewer steps are chained."""


@dataclass(frozen=True)
class PoseResult:
    """Trajectory errors (W,) of all windows of a drive, in units of the true translations (metres)."""

    domain: str
    names: tuple[str, ...]
    errors: np.ndarray
    frames: int

    @property
    def metrics(self) -> dict[str, float]:
        """Mean and population std over windows."""
        return {"ate_mean": float(self.errors.mean()), "ate_std": float(self.errors.std())}

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row per window: its first frame and its error."""
        return [{"name": name, "ate": error} for name, error in zip(self.names, self.errors.tolist(), strict=True)]


def local_motions(poses: np.ndarray) -> np.ndarray:
    """Global camera-to-world poses -> motions between neighbours.

    Shapes:  poses (M, 4, 4)
    Returns: (M-1, 4, 4), takes points of frame i to frame i+1
    """
    return np.linalg.inv(poses[1:]) @ poses[:-1]


def window_positions(motions: np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Chains every run of `window - 1` neighbouring motions, starting from the identity.

    Shapes:  motions (M, 4, 4)
    Returns: (M - window + 2, window, 3), the translations of the chained products; the first is 0
    """
    count = len(motions) - window + 2
    chain = np.broadcast_to(np.eye(4), (count, 4, 4))
    points = [chain[:, :3, 3]]
    for step in range(window - 1):
        chain = chain @ motions[step : step + count]
        points.append(chain[:, :3, 3])
    return np.stack(points, axis=1)


def trajectory_errors(poses: np.ndarray, motions: np.ndarray, tails: bool = False) -> np.ndarray:
    """Error of every window of five frames after shifting and scaling the prediction to the truth.

        scale = sum(g p)/sum(p p)    ATE = sqrt(sum((scale p - g)^2))/5

    tails: windows of the last four, three and two frames count as well, divided by their frames, as in Monodepth2.

    Shapes:  poses (M, 4, 4) true camera-to-world; motions (>= M-1, 4, 4) predicted, frame i to i+1
    Returns: (M-4,) or, with tails, (M-1,) float64.
    Raises:  ValueError when there are fewer than five frames or too few motions.
    """
    if len(poses) < WINDOW or len(motions) < len(poses) - 1:
        raise ValueError(f"pose evaluation: {len(poses)} poses and {len(motions)} motions make no window of {WINDOW}")
    true = local_motions(poses.astype(np.float64))
    found = motions[: len(poses) - 1].astype(np.float64)
    errors = [_window_errors(true, found, WINDOW)]
    if tails:
        errors += [
            _window_errors(true[1 - frames :], found[1 - frames :], frames) for frames in range(WINDOW - 1, 1, -1)
        ]
    return np.concatenate(errors)


def _window_errors(true_motions: np.ndarray, found_motions: np.ndarray, window: int) -> np.ndarray:
    """Errors (N - window + 2,) of all windows of so many frames, of N motions (N, 4, 4)."""
    true, found = window_positions(true_motions, window), window_positions(found_motions, window)
    found = found + (true[:, :1] - found[:, :1])
    power = (found * found).sum(axis=(1, 2))
    product = (true * found).sum(axis=(1, 2))
    # A prediction that never moves fits at every scale; 0 avoids 0/0.
    scale = np.divide(product, power, out=np.zeros_like(product), where=power > 0)
    return np.sqrt(np.square(scale[:, None, None] * found - true).sum(axis=(1, 2))) / window


@dataclass(frozen=True)
class _Drive:
    """Frames of one rank: true poses (N, 4, 4) and predicted motions (N, 4, 4) to the frame after each."""

    domain: str
    names: tuple[str, ...]
    poses: np.ndarray
    motions: np.ndarray


@torch.inference_mode()
def evaluate_pose(
    predict_pose: PredictPose, batches: Batches, *, tails: bool = False, everywhere: Everywhere = alone
) -> PoseResult:
    """Judges the motion from every frame to the next; the frames of a loader are one drive in order.

    predict_pose: images of frame 0 and of frame +1 -> (B, 4, 4)
    tails:        see `trajectory_errors`
    everywhere:   gathers what all ranks found in their batches

    Raises: UserError when the set is shorter than a window.
    """

    def share() -> _Drive:
        names: list[str] = []
        poses: list[np.ndarray] = []
        motions = Rows()
        domain = ""
        for batch in batches:
            domain = batch.spec.domain
            for motion in predict_pose(batch.inputs[0], batch.inputs[1]).float().reshape(-1, 4, 4):
                motions.append(motion)
            poses += [truth.pose for truth in batch.truth]
            names += [truth.name for truth in batch.truth]
        found = motions.table().numpy() if motions else np.zeros((0, 4, 4), np.float32)
        return _Drive(domain, tuple(names), np.reshape(poses, (-1, 4, 4)), found)

    parts = everywhere(share)
    domain, names = joined_names(parts)
    if len(names) < WINDOW:
        raise UserError(
            f"{domain or 'pose evaluation'}: {len(names)} frames with poses are fewer than a window "
            f"of {WINDOW}; use a longer drive"
        )
    poses, motions = (np.concatenate([getattr(part, name) for part in parts]) for name in ("poses", "motions"))
    require_finite(domain, names, np.isfinite(motions).all(axis=(1, 2)))
    errors = trajectory_errors(poses, motions, tails)
    return PoseResult(domain, names[: len(errors)], errors, len(names))
