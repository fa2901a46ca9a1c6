"""What is asked about a batch on logging steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dataloader.batch import Batch
from losses.consistency import SemanticDepthConsistency
from losses.depth import DepthLoss
from losses.patches.refine import Refined
from losses.relative import aligned
from models.prediction import Outputs
from perspective_resample.camera import normals
from perspective_resample.views import Views
from visual.panels import (
    class_panel,
    depth_panel,
    mask_panel,
    photometric_panel,
    refinement_panel,
    segmentation_panel,
    teacher_panel,
)

STILL = 1e-5
"""Translations below it are none: networks of random weights began with 50 to 400 times as much."""
LEAST_SHARE = 0.01
"""Of the pixels that look more alike when they are warped; below it nearly none is left to learn from."""


@dataclass(frozen=True)
class Taught:
    """What came of a lesson.

    loss:    scalar, after its weight
    answers: (B, 1 or 2, H, W) what the teacher said of the images: as they are, and, where asked, as mirrored ones
    counted: (B, 1, H, W) bool, pixels of the images from which the network learns
    """

    loss: Tensor
    answers: Tensor
    counted: Tensor


@dataclass(frozen=True)
class Seen:
    """A batch of one data set, what was predicted, and what it was compared with; see `engine.outcome.Look`.

    loss: by which neighbours were compared, for pictures of its error; None for none
    consistency: by which depth and classes were compared; None for none
    """

    batch: Batch
    prediction: Outputs
    views: Views | None
    keep: Tensor | None = None
    refined: Refined | None = None
    taught: Taught | None = None
    loss: DepthLoss | None = None
    consistency: SemanticDepthConsistency | None = None

    @property
    def classes(self) -> Tensor | None:
        """Predicted classes where the consistency loss acts, 255 elsewhere, (B, H, W); None where it is off."""
        ids = self.prediction.ids
        return None if ids is None or self.consistency is None else self.consistency.constrained(ids)

    def measures(self) -> dict[str, Tensor]:
        """Mean and deviation of the depth, how far the camera moves to a neighbour, and the share of pixels that count
        for automasking; number of patches, and share of images that learn from them; of pixels that learn from a
        teacher of whole images.
        """
        found: dict[str, Tensor] = {}
        if self.views:
            depth = self.views.depth[: self.batch.images[0].shape[0]]
            found |= {"depth_mean": depth.mean(), "depth_std": depth.std(), "translation": self._translation()}
            _, counted = self._compared
            found |= {} if counted is None else {"automask_counted": counted.double().mean()}
        if self.refined:
            found |= {
                "patch_count": torch.tensor(self.refined.count),
                "patch_passed": self.refined.passed.double().mean(),
            }
        if self.taught:
            found["teacher_counted"] = self.taught.counted.double().mean()
        return found

    @torch.no_grad()
    def pictures(self) -> dict[str, Tensor]:
        """Panels by name."""
        batch, prediction, views = self.batch, self.prediction, self.views
        size = batch.images[0].shape[0]
        if not views:
            return {"images": segmentation_panel(prediction.logits, batch.labels, batch.images[0])}
        depth = views.depth[:size]
        near = [views.color[frame][:size] for frame in sorted(views.color)]
        panels = {"images": depth_panel(depth, normals(depth, batch.inv_K), batch.images[0], *near, self.keep)}
        error, counted = self._compared
        panels |= {} if error is None else {"error": photometric_panel(batch.images[0], error)}
        panels |= {} if counted is None else {"automask": mask_panel(batch.images[0], counted)}
        if self.refined:
            panels["patches"] = refinement_panel(
                batch.images[0],
                self.refined.outlines(),
                prediction.disp[0],
                self.refined.disparity,
                self.refined.weight,
            )
        if self.taught:
            target = aligned(self.taught.answers[:, :1], prediction.disp[0]).clamp(0, 1)
            panels["teacher"] = teacher_panel(batch.images[0], prediction.disp[0], target, self.taught.counted)
        if self.classes is not None:
            panels["classes"] = class_panel(batch.images[0], self.classes)
        return panels

    @cached_property
    def _compared(self) -> tuple[Tensor | None, Tensor | None]:
        """What `DepthLoss.maps` says of them, error and pixels that count; None of what there is none."""
        if not (self.loss and self.views and self.views.color):
            return None, None
        return self.loss.maps(self.batch.images[0], self.batch.images, self.views.color)

    def _translation(self) -> Tensor:
        """Mean length of the motions to the neighbours, in the unit of the depth."""
        return torch.stack([motion[:, :3, 3] for motion in self.prediction.motion.values()]).norm(dim=-1).mean()

    def doubt(self) -> str:
        """A sentence where the disparity has collapsed, nearly constant, 0 or 1, or the motion, nearly none, or where
        automasking leaves nearly no pixel.
        """
        if not self.prediction.disp:
            return ""
        if self.prediction.motion and (translation := self._translation().item()) < STILL:
            return (
                f"the camera hardly moves (mean translation {translation:.1e}), from which no depth can be learned; "
                "video in which it moves, a lower --train-learning-rate, or --train-warmup-steps 150 from scratch helps"
            )
        disp = self.prediction.disp[0].detach()
        mean = disp.mean().item()
        relative = disp.std().item() / max(mean, 1e-12)
        if not (mean < 0.002 or mean > 0.95 or relative < 0.03):  # nor where it is NaN, which others tell
            return self._doubt_of_automask()
        return (
            f"the disparity looks collapsed (mean {mean:.4f}, std/mean {relative:.3f}); from scratch "
            "--train-warmup-steps 150, a lower --train-learning-rate, --model-depth-min 0.03 (with "
            "--model-disparity-bias -2 where the method has it), or video with slower motion helps"
        )

    def _doubt_of_automask(self) -> str:
        _, counted = self._compared
        if counted is None or (share := counted.double().mean().item()) >= LEAST_SHARE:
            return ""
        return (
            f"automasking leaves {100 * share:.1f} % of the pixels to learn from, the others fit better as they are; "
            "right intrinsics, video in which the camera moves, --train-warmup-steps 150 from scratch, or "
            "--depth-disable-automasking at first helps"
        )
