"""What inference leaves of an image: a picture, and arrays where they are asked for."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from errors import UserError
from perspective_resample.depth import Known
from storage.atomic import write_whole

from .pictures import encode, inference_picture


@dataclass(frozen=True)
class Found:
    """What a network saw in an image.

    values (h, w) float32, inverse depth in 1/m or, where not `inverse`, depth in metres, as far as the network knows
    them; class ids (h, w) uint8 or None; `known` as in `DepthMap`.
    """

    values: np.ndarray
    inverse: bool
    ids: np.ndarray | None
    known: Known = "up to scale"

    @property
    def inv_depth(self) -> np.ndarray:
        """Inverse depth (h, w) float32."""
        return self.values if self.inverse else 1 / self.values

    def require_finite(self) -> None:
        """Raise `UserError` where the network predicts NaN or infinite values."""
        if not np.isfinite(self.values).all():
            raise UserError("the network gives NaN or infinite numbers for it; take another checkpoint")


@dataclass(frozen=True)
class Job:
    """One image on its way: name of its outputs, the image (H, W, 3), the network's view of it (h, w, 3); uint8 RGB."""

    name: str
    image: np.ndarray
    small: np.ndarray


@dataclass(frozen=True)
class ResultFolder:
    """Where pictures and arrays of one run go."""

    folder: Path
    extension: str
    arrays: bool

    def picture(self, name: str) -> Path:
        """File of the picture of one image."""
        return self.folder / f"{name}{self.extension}"

    def write_picture(self, job: Job, found: Found) -> None:
        """Write the published picture of one image, and its arrays where asked for."""
        found.require_finite()
        data = encode(inference_picture(job.image, found.inv_depth, found.ids), self.extension)
        write_whole(self.picture(job.name), data, durable=False)
        self.write_arrays(job, found)

    def write_arrays(self, job: Job, found: Found) -> None:
        """Write depth and class ids at the size of the image, and disparity at network size if the network predicts it.

        Depth is resized in the quantity that the network predicts; of inverse depth up to scale and shift there is
        none. Nothing is written where arrays are not asked for.
        """
        if not self.arrays:
            return
        size = (job.image.shape[1], job.image.shape[0])  # OpenCV counts width first
        resized = cv2.resize(found.values, size, interpolation=cv2.INTER_LINEAR)
        arrays = {"disp": found.values} if found.inverse else {}
        if found.known != "up to scale and shift":
            arrays["depth"] = 1 / resized if found.inverse else resized
        if found.ids is not None:
            arrays["seg"] = cv2.resize(found.ids, size, interpolation=cv2.INTER_NEAREST)
        for kind, array in arrays.items():
            _save(self.folder / f"{job.name}_{kind}.npy", array)


def _save(path: Path, array: np.ndarray) -> None:
    """Write an array whole or not at all."""
    content = io.BytesIO()
    np.save(content, array)
    write_whole(path, content.getvalue(), durable=False)
