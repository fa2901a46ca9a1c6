"""What disparity is to the classes of the same image: inside one semantic region, it should not jump."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import check_shape
from perspective_resample.depth import scale_disparity

from .reduction import Denominator, own_count
from .regions import border_triplets, borders, inside, plane_agreement, region_smoothness, surfaces

# Poles, signs, plants and everything that moves. Roads, houses, walls and sky recede or are flat without end.
CLASSES = tuple(range(5, 10)) + tuple(range(11, 19))
TOLERANCE = 0.05
MIN_PIXELS = 10
PAPER_SCALE = 255.0
_EPS = 1e-7


class SemanticDepthConsistency(nn.Module):
    """Disparity steps of more than 5 % between neighbours of one class; mean per class and image, then over those.

        n = d / mean(d),   e(p) = 1/4 sum over the 4 neighbours q of relu(|n(p) - n(q)| - 0.05 n(p))
        loss = mean over (image, class) with more than 10 such pixels of mean over the pixels of e

    Only pixels whose four neighbours carry their class count. The tolerance has no gradient, and dividing by the
    image's mean takes the scale away: neither is a way to lower the loss.  Source: SGDEM; its published code compares
    class ids with a binary mask and is always 0, this is the form that its figure shows, normalised.

    Args:
        variant: `decided`, as above; `paper`: 255 d instead of n, with a gradient through the tolerance; `boundary`,
            `triplet`, `plane`: `region_smoothness`, `border_triplets`, `plane_agreement` of `losses.regions` instead.
        denominator: see `Denominator`.
        depth_range: depth of disparity 1 and 0, metres up to scale, for `plane`.
        margin: of `triplet`.
    """

    def __init__(
        self,
        variant: str = "decided",
        denominator: Denominator = own_count,
        depth_range: tuple[float, float] = (0.1, 100.0),
        margin: float = 0.1,
    ):
        super().__init__()
        self.variant, self.denominator = variant, denominator
        self.depth_range, self.margin = depth_range, margin
        member = torch.zeros(256, dtype=torch.bool)
        member[list(CLASSES)] = True
        self.register_buffer("member", member, persistent=False)

    @property
    def weighs(self) -> bool:
        """Whether it asks how sure the classes are."""
        return self.variant == "boundary"

    def forward(self, disp: Tensor, ids: Tensor, sure: Tensor | None = None, K: Tensor | None = None) -> Tensor:
        """Compare.

        Shapes:  disp (B, 1, H, W) sigmoid disparity in (0, 1); ids (B, H, W) int64 train ids below 256;
                 sure (B, H, W) in [0, 1], for `boundary`; K (B, 4, 4) intrinsics in pixels, for `plane`.
        Returns: scalar, >= 0; 0 with a gradient of 0 where there is nothing to compare.
        Raises:  ValueError when the shapes differ.
        """
        match self.variant:
            case "boundary":
                return region_smoothness(disp, ids, sure)
            case "triplet":
                return border_triplets(disp, ids, self.margin, self.denominator)
            case "plane":
                return plane_agreement(scale_disparity(disp, *self.depth_range), ids, K, self.denominator)
            case _:
                return self._steps(disp, ids)

    def _steps(self, disp: Tensor, ids: Tensor) -> Tensor:
        check_shape("consistency: ids", ids, disp.shape[0], *disp.shape[2:])
        inner = self.interior(ids)
        regions = torch.arange(len(ids), device=ids.device)[:, None, None] * 256 + ids[:, 1:-1, 1:-1]
        flat, counted = regions.flatten(), inner.flatten().to(disp.dtype)
        zeros = disp.new_zeros(256 * len(ids))
        sums = zeros.index_add(0, flat, self.excess(disp).flatten() * counted)
        counts = zeros.index_add(0, flat, counted)
        large = counts > MIN_PIXELS
        means = torch.where(large, sums / counts.clamp(min=1), 0)
        return means.sum() / self.denominator(large.sum())

    def interior(self, ids: Tensor) -> Tensor:
        """Where a pixel and its four neighbours are of one of `CLASSES`: (B, H, W) -> (B, H-2, W-2) bool."""
        centre = ids[:, 1:-1, 1:-1]
        same = (ids[:, :-2, 1:-1], ids[:, 2:, 1:-1], ids[:, 1:-1, :-2], ids[:, 1:-1, 2:])
        inner = self.member[centre]
        for neighbour in same:
            inner = inner & (neighbour == centre)
        return inner

    def constrained(self, ids: Tensor) -> Tensor:
        """Classes where the loss acts, 255 elsewhere, for pictures: (B, H, W) -> (B, H, W)."""
        match self.variant:
            case "boundary":
                acts = inside(ids)
            case "triplet":
                acts = borders(ids)
            case "plane":
                acts = surfaces(ids)
            case _:
                acts = F.pad(self.interior(ids), (1, 1, 1, 1))
        return torch.where(acts, ids, 255)

    def excess(self, disp: Tensor) -> Tensor:
        """e(p) of all pixels but the outermost: (B, 1, H, W) -> (B, H-2, W-2)."""
        paper = self.variant == "paper"
        value = PAPER_SCALE * disp if paper else disp / (disp.mean((2, 3), keepdim=True) + _EPS)
        value = value[:, 0]
        rows, columns = value.diff(dim=1).abs()[:, :, 1:-1], value.diff(dim=2).abs()[:, 1:-1]
        centre = value[:, 1:-1, 1:-1]
        allowed = TOLERANCE * (centre if paper else centre.detach())
        steps = (rows[:, :-1], rows[:, 1:], columns[:, :, :-1], columns[:, :, 1:])
        return sum(F.relu(step - allowed) for step in steps) / len(steps)
