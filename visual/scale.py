"""What makes metres of depth that is known up to one factor."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from errors import UserError
from perspective_resample.ground import Ground, fit_ground

from .lens import Lens
from .results import Found, Job

ROAD = 0  # train id


@dataclass
class FixedScale:
    """One factor for all images; `source` says whose it is."""

    factor: float
    source: str

    def __call__(self, job: Job, found: Found) -> Found:
        """The same in metres."""
        return found.times(self.factor, f"times {self.factor:g}, {self.source}")

    def report(self) -> str:
        """What was done, in one sentence."""
        return f"Depth was multiplied by {self.factor:g}, {self.source}"


@dataclass
class CameraHeight:
    """The factor with which the camera is `height` metres above the ground plane of each image.

    `lens` gives that of a job; `fixed` replaces the factor of every image, as in films, whose depth must not flicker.
    """

    height: float
    lens: Callable[[Job], Lens]
    fixed: float = 0.0
    found: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, job: Job, found: Found) -> Found:
        """The same in metres.  Raises: UserError where an image shows no ground."""
        factor = self.fixed or self.measure(job, found)
        return found.times(factor, f"camera {self.height:g} m above the ground")

    def measure(self, job: Job, found: Found) -> float:
        """Factor of one image.  Raises: UserError where it shows no ground."""
        ground = self._ground(job, found)
        if ground is None:
            raise UserError("no ground plane can be seen in it; give --depth-scale a number, or leave it out")
        self.found.append((self.height / ground.height, ground.share))
        return self.found[-1][0]

    def _ground(self, job: Job, found: Found) -> Ground | None:
        lens = self.lens(job).resized(job.view.image.shape[:2], found.values.shape)
        road = None if found.ids is None else found.ids == ROAD
        depth = 1 / found.values if found.inverse else found.values
        return fit_ground(depth, (lens.fx, lens.fy), (lens.cx, lens.cy), road)

    def report(self) -> str:
        """Factors that were found, and how well the planes fit."""
        if not self.found:
            return ""
        factors, shares = np.array(self.found).T
        chosen = self.fixed or np.median(factors)
        images = "1 image" if len(factors) == 1 else f"{len(factors)} images"
        return (
            f"Depth was multiplied by {chosen:.3g} (median; {factors.min():.3g} to {factors.max():.3g} in "
            f"{images}), so that the camera is {self.height:g} m above the ground; "
            f"{100 * shares.mean():.0f} % of the pixels of the ground lie within 5 % of a plane"
        )


Scale = FixedScale | CameraHeight


def trial(scale: Callable[[Job, Found], Found]) -> Callable[[Job, Found], Found]:
    """The same scale for a first look, of which the report knows nothing."""
    return replace(scale, found=[]) if isinstance(scale, CameraHeight) else scale


def steady(scale: Callable[[Job, Found], Found], first: Iterable[tuple[Job, Found]]) -> Callable[[Job, Found], Found]:
    """A scale that is the same for all frames of a video: of one that looks at images, the median over some frames.

    Raises: UserError where none of them shows ground.
    """
    if not isinstance(scale, CameraHeight):
        return scale
    first, factors = [*first], []
    for job, found in first:
        with contextlib.suppress(UserError):  # some frames may show no ground
            factors.append(scale.measure(job, found))
    if not factors:
        raise UserError(f"{first[0][0].name}: no ground plane can be seen in it; give --depth-scale a number")
    return replace(scale, fixed=statistics.median(factors))
