"""Which ground-truth pixels count and how far predictions may reach, by the names that loaders carry."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DepthMask:
    """Open range of ground truth in metres and a window in fractions of (height, width)."""

    minimum: float
    maximum: float
    rows: tuple[float, float] = (0.0, 1.0)
    columns: tuple[float, float] = (0.0, 1.0)
    crop: str = "none"

    def valid(self, depth: np.ndarray) -> np.ndarray:
        """Marks what counts.  depth (H, W) in metres, 0 = no measurement -> bool (H, W)."""
        height, width = depth.shape
        valid = np.zeros(depth.shape, bool)
        rows = slice(int(self.rows[0] * height), int(self.rows[1] * height))
        columns = slice(int(self.columns[0] * width), int(self.columns[1] * width))
        window = depth[rows, columns]
        valid[rows, columns] = (window > self.minimum) & (window < self.maximum)
        return valid


# SGDepth; the window of "kitti_zhou" is the crop of Garg et al. (arXiv 1603.04992), customary for the Eigen split.
MASKS = {
    "kitti_zhou": DepthMask(1e-3, 80.0, (0.40810811, 0.99189189), (0.03594771, 0.96405229), "garg"),
    "kitti_kitti": DepthMask(0.0, math.inf),
    "cityscapes": DepthMask(1e-3, 80.0, (0.1, 0.7), (0.1, 0.9), "cityscapes"),
}

CLAMPS = {"kitti": (1e-3, 80.0), "cityscapes": (1e-3, 80.0)}
"""Metres; predictions beyond are moved to the nearer end after scaling."""


def depth_protocol(
    mask: str,
    clamp: str,
    *,
    ground_truth: str,
    fixed_scaling: float,
    size: tuple[int, int],
    refinement: dict | None = None,
) -> dict:
    """Describes a depth evaluation for metrics.json; `size` is the network's (height, width).

    `refinement` says how disparities were refined before they were judged; ``none`` where they were not.
    An unbounded range ends in None, because JSON knows no infinity.
    """
    chosen = MASKS[mask]
    return {
        "ground_truth": ground_truth,
        "crop": chosen.crop,
        "range": [chosen.minimum, chosen.maximum if math.isfinite(chosen.maximum) else None],
        "clamp": list(CLAMPS[clamp]),
        "scaling": f"fixed {fixed_scaling:g}" if fixed_scaling else "median per image",
        "size": list(size),
        "flip": False,
        "refinement": refinement or "none",
    }


def segmentation_protocol(*, ground_truth: str, size: tuple[int, int]) -> dict:
    """Describes a segmentation evaluation for metrics.json; `size` is the network's (height, width)."""
    return {
        "ground_truth": ground_truth,
        "crop": "none",
        "range": "train ids 0 to 18, 255 ignored",
        "scaling": "prediction to ground-truth size, nearest",
        "size": list(size),
        "flip": False,
    }


def pose_protocol(*, ground_truth: str, size: tuple[int, int]) -> dict:
    """Describes a pose evaluation for metrics.json; `size` is the network's (height, width)."""
    return {
        "ground_truth": ground_truth,
        "crop": "none",
        "range": "windows of 5 frames",
        "scaling": "least squares per window",
        "size": list(size),
        "flip": False,
    }
