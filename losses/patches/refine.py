"""A disparity and an image in, a refined disparity out: the whole way from selection to fusion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .fusion import Canvas, fuse, mix
from .scales import Estimate, three_scales
from .selection import Patches, select
from .sequential import blend_sequentially

_ROUND = 16  # batches of patches are filled up to a multiple of this on GPUs

Lookup = Callable[[Patches], Tensor]
"""Patches -> estimates (P, s, s) that were made before."""


@dataclass(frozen=True)
class Refined:
    """A refined disparity and how it came about.

    `disparity` (B, 1, H, W), equal to the original where nothing is `covered` (B, 1, H, W) bool; `weight`
    (B, 1, H, W) share of the patches in it; `patches`, one entry per size; `counted` (B, 1, H, W) bool, covered
    pixels that may teach; `passed` (B,) bool, images whose refinement passed the gate.
    """

    disparity: Tensor
    covered: Tensor
    weight: Tensor
    patches: tuple[Patches, ...]
    counted: Tensor
    passed: Tensor

    @property
    def count(self) -> int:
        """Number of patches."""
        return sum(len(patches) for patches in self.patches)

    def outlines(self) -> Tensor:
        """Where the borders of patches run, for pictures: (B, 1, H, W) bool."""
        drawn = torch.zeros_like(self.covered)
        for patches in self.patches:
            pixels = patches.positions(*drawn.shape[2:])
            sides = (pixels[:, 0], pixels[:, -1], pixels[..., 0], pixels[..., -1])
            drawn.view(-1)[torch.cat([side.flatten() for side in sides])] = True
        return drawn


class PatchRefiner:
    """Refines disparities with estimates of patches.

    Every selected patch is estimated by the network itself at three scales and, if there is one, by a second teacher;
    both are fitted to the disparity, blended to one map per source, mixed and fused into the disparity.
    Source: SGDEM, patch knowledge distillation.

    Args:
        size: side of the patches, 0 for 64 per 96 rows.
        maximum: patches per image at most, 0 for all.
        enlarge: let patches grow while rich in gradients.
        blend: `window` or `released`.
        share: how much patches count, 0 to 1.
        chunk: patches a teacher sees at once.
    """

    def __init__(
        self,
        size: int = 0,
        maximum: int = 0,
        enlarge: bool = False,
        blend: str = "window",
        share: float = 0.6,
        chunk: int = 64,
    ):
        self.size, self.maximum, self.enlarge, self.blend = size, maximum, enlarge, blend
        self.share, self.chunk = share, chunk

    @torch.no_grad()
    def __call__(
        self,
        image: Tensor,
        disp: Tensor,
        self_teacher: Estimate,
        teacher: Estimate | None = None,
        lookup: Lookup | None = None,
        mirrored: Tensor | None = None,
    ) -> Refined:
        """Refine.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].
            disp: (B, 1, H, W) disparity to refine.
            self_teacher: (P, 3, s, s) RGB in [0, 1] -> (P, 1, s, s), also asked at 1.5 and 0.5 times the size.
            teacher: second source, (P, 3, s, s) -> (P, s, s) inverse depth of any scale and shift.
            lookup: second source in place of `teacher`.
            mirrored: (B,) True where candidates start at the right border.
        """
        groups = []
        for patches in select(image, self.size, self.maximum, self.enlarge, mirrored):
            if not len(patches):
                continue
            cut = patches.cut(image)
            estimates = [self._chunked(lambda part: three_scales(self_teacher, part), cut)]
            if lookup is not None:
                estimates.append(lookup(patches))
            elif teacher is not None:
                estimates.append(self._chunked(teacher, cut))
            groups.append((patches, estimates))
        return self.merge(groups, disp)

    def merge(self, groups: list[tuple[Patches, list[Tensor]]], disp: Tensor) -> Refined:
        """Refined disparity from patches and the estimates (P, s, s) of every source; one group per size."""
        if self.blend == "released":
            maps, covered = blend_sequentially(groups, disp)
        else:
            maps, covered = _blend_windows(groups, disp)
        covered_map = covered.view(disp.shape)
        mixed = mix(maps, covered, disp)
        refined, weight = fuse(disp, mixed, covered_map, self.share)
        everything = torch.ones(len(disp), dtype=torch.bool, device=disp.device)
        return Refined(refined, covered_map, weight, tuple(patches for patches, _ in groups), covered_map, everything)

    def _chunked(self, estimate: Estimate, patches: Tensor) -> Tensor:
        found = []
        for part in patches.split(self.chunk):
            # Every step has another number of patches, and GPUs search for the best kernels anew for every new shape.
            spare = -len(part) % min(_ROUND, self.chunk) if part.is_cuda else 0
            asked = F.pad(part, (0, 0, 0, 0, 0, 0, 0, spare)) if spare else part
            found.append(estimate(asked).float().reshape(-1, *part.shape[-2:])[: len(part)])
        return torch.cat(found)


def _blend_windows(groups: list[tuple[Patches, list[Tensor]]], disp: Tensor) -> tuple[list[Tensor], Tensor]:
    canvases = [Canvas.empty(disp) for _ in (groups[0][1] if groups else [0])]
    for patches, estimates in groups:
        for canvas, estimate in zip(canvases, estimates, strict=True):
            canvas.add(patches, disp, estimate)
    maps = [canvas.map(disp) for canvas in canvases]
    return [values for values, _ in maps], torch.stack([covered for _, covered in maps]).all(0)


class CachedMaps:
    """Estimates of a teacher that were made before, cut out where the patches are.

    Shapes:  maps (B, 1, H, W), the teacher's answer to whole images; or (B, N, s, s), its answers to the N candidates
             of each image, in the order of `Patches.place`. Mirrored where the images are.
    """

    def __init__(self, maps: Tensor, height: int, width: int):
        self.maps, self.whole = maps, tuple(maps.shape[1:]) == (1, height, width)

    def __call__(self, patches: Patches) -> Tensor:
        """(P, s, s)."""
        return patches.cut(self.maps)[:, 0] if self.whole else self.maps[patches.image, patches.place]
