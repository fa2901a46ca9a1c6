"""Further views of the images: each is compared as the image is, and the depth of all must agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perspective_resample.depth import disp_to_depth
from perspective_resample.rearrange import pick

from .depth import DepthLoss

_EPS = 1e-8
LEAST_RATIO = 1.2
"""Views are enlarged by this at least, so no window is larger than its size divided by this."""


@dataclass(frozen=True)
class Compared:
    """What a photometric loss compares; fields as arguments of `DepthLoss`.

    Of two disparities of the same images, `disp` and `warped` hold the second one's behind the first one's.
    """

    images: dict[int, Tensor]
    warped: dict[int, Tensor]
    disp: dict[int, Tensor]


def scale_invariant_log(a: Tensor, b: Tensor, valid: Tensor | None = None) -> Tensor:
    """Difference of two depth maps up to half of the factor between them.

        mean over images of  sum(e^2) / N - 0.5 (sum(e) / N)^2,   e = log(a + 1e-8) - log(b + 1e-8)

    Shapes:  a, b (B, 1, H, W) > 0; valid (B, 1, H, W) pixels that count, N of them, or None for all.
    Source: Eigen et al. 2014 (arXiv 1406.2283), eq. 4; BDEdepth (arXiv 2309.05254).
    """
    difference = (a + _EPS).log() - (b + _EPS).log()
    if valid is None:
        number = a[0].numel()
    else:
        difference, number = difference * valid, valid.sum((1, 2, 3))
    squares, sums = difference.square().sum((1, 2, 3)), difference.sum((1, 2, 3))
    return (squares / (number + _EPS) - 0.5 * sums.square() / (number + _EPS) ** 2).mean()


class ViewsLoss(nn.Module):
    """Mean of the photometric losses of all views, and differences between their depth.

        total = reprojection * mean(image, local, reshuffled) + weight * (local vs image + reshuffled vs image)

    Things in the local view look larger by its ratio, hence nearer: its depth is multiplied by that before it is
    compared. Both sides of a difference learn.  Source: BDEdepth (arXiv 2309.05254).

    Args:
        depth: photometric loss with smoothness, of every view.
        depth_range: depth of disparity 1 and of disparity 0.
        reprojection: weight of the photometric losses.
        weight: of the differences; 0 leaves them out.
        detach: the depth of the image learns nothing from the views.
    """

    def __init__(
        self,
        depth: DepthLoss,
        depth_range: tuple[float, float],
        reprojection: float = 1.0,
        weight: float = 0.07,
        detach: bool = False,
    ):
        super().__init__()
        self.depth, self.depth_range, self.reprojection = depth, depth_range, reprojection
        self.weight, self.detach = weight, detach

    def forward(
        self, image: Compared, local: Compared | None = None, crops: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare.

        Args:
            image: the images, with their disparity and, where there is a reshuffled view, that of this view behind it,
                its blocks in their place again.
            local: the local view, or None.
            crops: (B, 8) where it lies, see `perspective_resample.crop.Crop`.

        Returns:
            scalar; terms: `loss_depth` before its weight with its parts, `loss_consistency` after its weight.
        """
        depth, terms = self.depth(image.images[0], image.images, image.warped, image.disp)
        terms["loss_depth/image"] = terms.pop("loss_of/0", depth)
        if "loss_of/1" in terms:
            terms["loss_depth/reshuffled"] = terms.pop("loss_of/1")
        if local is not None:
            terms["loss_depth/local"], _ = self.depth(local.images[0], local.images, local.warped, local.disp)
        parts = [term for name, term in terms.items() if name.startswith("loss_depth/")]
        terms["loss_depth"] = torch.stack(parts).mean()
        total = self.reprojection * terms["loss_depth"]
        if self.weight > 0:
            terms["loss_consistency"] = self.weight * self._consistency(image, local, crops)
            total = total + terms["loss_consistency"]
        return total, terms

    def _consistency(self, image: Compared, local: Compared | None, crops: Tensor | None) -> Tensor:
        count = len(image.images[0])
        disp, restored = (
            {r: both[part] for r, both in image.disp.items()} for part in (slice(count), slice(count, None))
        )
        known = {r: one.detach() if self.detach else one for r, one in disp.items()}
        total = disp[0].new_zeros(())
        if len(restored[0]):
            each = [scale_invariant_log(self._metres(restored[r]), self._metres(known[r])) for r in disp]
            total = total + torch.stack(each).mean()
        if local is not None and crops is not None:
            size = disp[0].shape[-2:]
            each = [self._within(local.disp[r], _enlarged(known[r], size), crops) for r in disp]
            total = total + torch.stack(each).mean()
        return total

    def _within(self, local: Tensor, disp: Tensor, crops: Tensor) -> Tensor:
        """Difference under the windows; disp (B, 1, H, W), local of any size."""
        ratio, (column, row, width, height) = crops[:, :1], crops[:, 4:].T[..., None]  # (B, 1) each
        most = [round(side / LEAST_RATIO) for side in disp.shape[-2:]]
        y, x = (torch.arange(side, device=disp.device)[None] for side in most)  # (1, h), (1, w)
        valid = (y < height)[:, None, :, None] & (x < width)[:, None, None]  # (B, 1, h, w)
        # The window shrunk to the part of the image that it shows: centres of its pixels in [-1, 1] of the view.
        places = torch.broadcast_tensors(((2 * x + 1) / width - 1)[:, None], ((2 * y + 1) / height - 1)[:, :, None])
        seen = F.grid_sample(local, torch.stack(places, -1).to(local), padding_mode="border", align_corners=False)
        rows = (y + row.long()).clamp(max=disp.shape[-2] - 1)
        columns = (x + column.long()).clamp(max=disp.shape[-1] - 1)
        far = ratio.view(-1, 1, 1, 1).to(local) * self._metres(seen)
        return scale_invariant_log(far, self._metres(pick(disp, rows, columns)), valid)

    def _metres(self, disp: Tensor) -> Tensor:
        return disp_to_depth(disp, *self.depth_range)


def _enlarged(disp: Tensor, size: tuple[int, int]) -> Tensor:
    same = tuple(disp.shape[-2:]) == tuple(size)
    return disp if same else F.interpolate(disp, size, mode="bilinear", align_corners=False)
