"""Loss between predicted and dense measured depth: the depth itself, its slopes and its surface normals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import check_shape

from .reduction import Denominator, own_count

Kind = Literal["sdconvtrans", "hu2019", "released"]
KINDS: tuple[Kind, ...] = ("sdconvtrans", "hu2019", "released")
TERMS = ("depth", "gradient", "normal")
UNITS = 10.0  # that the largest depth is counted in: metres indoors, 8 m on roads, so that the terms keep their balance
LOG_OFFSET = 1e-4  # of those units
HU_OFFSET = 0.5
SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))  # along a row; its transpose along a column
TINY = 1e-12


class DenseDepthLoss(nn.Module):
    """Three terms over the pixels M that have a target, or M' whose whole neighbourhood in the image has one.

        v = 10 p, w = 10 g;   s: slopes by the plain Sobel kernels, zeros around the image;   n = (-sx, -sy, 1)

        sdconvtrans   depth     sqrt(mean_M (ln(w + 1e-4) - ln(v + 1e-4))^2)
                      gradient  (mean_M' |sx(v) - sx(w)| + mean_M' |sy(v) - sy(w)|) / 2
                      normal    mean_M' (1 - cos(n(v), n(w)))
        hu2019        depth     mean_M ln(|v - w| + 0.5)
                      gradient  mean_M' ln(|sx(v) - sx(w)| + 0.5) + mean_M' ln(|sy(v) - sy(w)| + 0.5)
                      normal    as above
        released      depth     as sdconvtrans
                      gradient  as sdconvtrans, of p and g
                      normal    1 - mean over images and directions of cos(s(p), s(g)), each map one vector

    A term without pixels is 0. Of images whose target has gaps the depth term alone counts.
    Sources: SD-ConvTrans; Hu et al., Revisiting Single Image Depth Estimation, WACV 2019 (arXiv 1803.08673).

    Args:
        kind: which of them.
        denominator: see `losses.reduction`.
        mean_of_ranks: mean of a value without gradient over all ranks, for the root.
    """

    def __init__(
        self,
        kind: Kind = "sdconvtrans",
        denominator: Denominator = own_count,
        mean_of_ranks: Callable[[Tensor], Tensor] = lambda value: value,
    ):
        super().__init__()
        self.kind, self.denominator, self.mean_of_ranks = kind, denominator, mean_of_ranks
        kernel = torch.tensor(SOBEL)
        self.register_buffer("kernels", torch.stack((kernel, kernel.T))[:, None], persistent=False)

    def forward(self, share: Tensor, target: Tensor, dense: Tensor) -> dict[str, Tensor]:
        """Compare p with g.

        Args:
            share: p, (B, 1, H, W) predicted share of the largest depth, in (0, 1).
            target: g, the same of the truth; 0 where there is none.
            dense: (B,) bool, whose target has no gaps between its pixels.

        Returns: the three terms, scalars, by name.

        Raises:
            ValueError: when the sizes differ.
        """
        check_shape("dense loss: target", target, *share.shape)
        known = target > 0
        inside = _surrounded(known) & dense[:, None, None, None]
        counts = self.denominator(torch.stack((known.sum(), inside.sum())).to(share.dtype))
        units = 1.0 if self.kind == "released" else UNITS
        slopes, wanted = (F.conv2d(units * x, self.kernels.to(x.dtype), padding=1) for x in (share, target))
        step = (slopes - wanted).abs()  # (B, 2, H, W)
        if self.kind == "hu2019":
            step = (step + HU_OFFSET).log()
        gradient = (step * inside).sum() / counts[1]
        return {
            "depth": self._depth(UNITS * share, UNITS * target, known, counts[0]),
            "gradient": gradient if self.kind == "hu2019" else gradient / 2,
            "normal": (
                _whole_maps(slopes, wanted, inside)
                if self.kind == "released"
                else (_normal_distance(slopes, wanted) * inside).sum() / counts[1]
            ),
        }

    def _depth(self, v: Tensor, w: Tensor, known: Tensor, count: Tensor) -> Tensor:
        if self.kind == "hu2019":
            return (((v - w).abs() + HU_OFFSET).log() * known).sum() / count
        ratio = ((w + LOG_OFFSET).log() - (v + LOG_OFFSET).log()) * known
        mean = ratio.square().sum() / count
        # The mean over the ranks of m / (2 r) + r / 2 is r = sqrt(mean of m), and so is its gradient.
        everywhere = self.mean_of_ranks(mean.detach())
        root = everywhere.clamp_min(TINY).sqrt()
        return torch.where(everywhere > 0, (mean / root + root) / 2, mean)


def _surrounded(known: Tensor) -> Tensor:
    """Whether all pixels of the 3x3 neighbourhood that lie in the image are known: (B, 1, H, W) bool."""
    return F.max_pool2d((~known).float(), 3, stride=1, padding=1) == 0


def _normal_distance(slopes: Tensor, wanted: Tensor) -> Tensor:
    """1 - cos between the normals of two surfaces: slopes (B, 2, H, W) -> (B, 1, H, W).

    As half the squared distance of the unit normals, which is exact where they are nearly the same.
    """
    own, other = (F.normalize(torch.cat((-each, torch.ones_like(each[:, :1])), 1), dim=1) for each in (slopes, wanted))
    return (own - other).square().sum(1, keepdim=True) / 2


def _whole_maps(slopes: Tensor, wanted: Tensor, inside: Tensor) -> Tensor:
    """The normal term of the release; of flat maps, where its quotient is NaN, the cosine is 0."""
    own, other = (F.normalize((each * inside).flatten(2), dim=2) for each in (slopes, wanted))  # (B, 2, H * W)
    flat = 1 - (own.square().sum(2) + other.square().sum(2)) / 2  # 0, or what a flat map lacks of a cosine of 0
    distance = (own - other).square().sum(2) / 2 + flat
    some = inside.flatten(1).any(1)
    return (distance.mean(1) * some).sum() / some.sum().clamp_min(1)
