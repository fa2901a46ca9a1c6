"""The self-supervised depth loss: what a frame looks like from its neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .photometric import Reference, photometric_error
from .smoothness import edge_aware_smoothness


def _smaller(first: Tensor, second: Tensor) -> Tensor:
    """Minimum whose gradient goes to `first` alone where both are equal (torch.minimum halves it)."""
    return torch.where(second < first, second, first)


class DepthLoss(nn.Module):
    """Photometric error of warped neighbours, with automasking, plus smoothness; mean over the resolutions.

    Per pixel and resolution the smallest of: the errors of the neighbours as they are (no gradient: such pixels do
    not move, or move with the camera), the errors of the warped neighbours. Ties count as unmoved.
    Source: SGDepth (arXiv 2007.06936), eq. 3 to 6; Monodepth2 (arXiv 1806.01260), eq. 4 and 5.

    Args:
        smoothness: weight at full size, halved with every resolution; 0 leaves the term out.
        automasking: False ignores the neighbours as they are.
        average: True takes means over the neighbours instead of minima.
    """

    def __init__(self, smoothness: float = 1e-3, automasking: bool = True, average: bool = False):
        super().__init__()
        self.smoothness, self.automasking, self.average = smoothness, automasking, average

    def forward(
        self,
        target: Tensor,
        sources: dict[int, Tensor],
        warped: dict[int, Tensor],
        disp: dict[int, Tensor],
        keep: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare.

        Args:
            target: (B, 3, H, W) RGB in [0, 1].
            sources: frame offset -> (B, 3, H, W), the neighbours as they are.
            warped: frame offset -> (R*B, 3, H, W), the neighbours in the target view, finest resolution first.
            disp: r -> (B, 1, H/2^r, W/2^r) sigmoid disparity.
            keep: (B, H, W) True or 1 where a pixel counts; dropped pixels add 0, the mean still divides by all.

        Returns:
            scalar loss; terms per resolution, ``loss/r`` and ``disp_smth_loss/r``.
        """
        reference = Reference.of(target)
        error = self._combine([photometric_error(warped[f], reference) for f in sorted(warped, reverse=True)])
        if self.automasking:
            with torch.no_grad():
                unmoved = self._combine(
                    [photometric_error(sources[f], reference) for f in sorted(warped, reverse=True)]
                )
            error = _smaller(unmoved, error)
        if keep is not None:
            error = error * keep
        photometric = error.mean((1, 2, 3))  # (R,)
        terms: dict[str, Tensor] = {}
        per_resolution = []
        for index, r in enumerate(sorted(disp)):
            loss = photometric[index]
            if self.smoothness > 0:
                image = (
                    target
                    if r == 0
                    else F.interpolate(target, disp[r].shape[-2:], mode="bilinear", align_corners=False)
                )
                terms[f"disp_smth_loss/{r}"] = self.smoothness * edge_aware_smoothness(disp[r], image) / 2**r
                loss = loss + terms[f"disp_smth_loss/{r}"]
            terms[f"loss/{r}"] = loss
            per_resolution.append(loss)
        return torch.stack(per_resolution).mean(), terms

    def _combine(self, errors: list[Tensor]) -> Tensor:
        if self.average:
            return torch.stack(errors).mean(0)
        combined = errors[0]
        for error in errors[1:]:
            combined = _smaller(combined, error)
        return combined
