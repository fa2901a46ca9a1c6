"""Inside one semantic region, disparity should not jump."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import check_shape

from .reduction import Denominator, own_count

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
        variant: `decided`, as above; `paper`: 255 d instead of n, with a gradient through the tolerance.
        denominator: see `Denominator`.
    """

    def __init__(self, variant: str = "decided", denominator: Denominator = own_count):
        super().__init__()
        self.variant, self.denominator = variant, denominator
        member = torch.zeros(256, dtype=torch.bool)
        member[list(CLASSES)] = True
        self.register_buffer("member", member, persistent=False)

    def forward(self, disp: Tensor, ids: Tensor) -> Tensor:
        """Compare.

        Shapes:  disp (B, 1, H, W) sigmoid disparity in (0, 1); ids (B, H, W) int64 train ids below 256.
        Returns: scalar, >= 0; 0 with a gradient of 0 where no region is large enough.
        Raises:  ValueError when the shapes differ.
        """
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
        return torch.where(F.pad(self.interior(ids), (1, 1, 1, 1)), ids, 255)

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
