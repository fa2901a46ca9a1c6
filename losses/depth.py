"""The self-supervised depth loss: what a frame looks like from its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .photometric import Reference, photometric_error
from .pyramid import Pyramid, bilinear_pyramid
from .reprojection import reprojection_error
from .smoothness import edge_aware_smoothness


class DepthLoss(nn.Module):
    """Photometric error of warped neighbours, with automasking, plus smoothness; mean over the resolutions.

    Per pixel and resolution the smallest of: the errors of the neighbours as they are (no gradient: such pixels do
    not move, or move with the camera), the errors of the warped neighbours. Ties count as unmoved, always; the
    published Monodepth2 adds noise of 1e-5 to the errors of unmoved neighbours, which breaks ties by chance.
    Source: SGDepth (arXiv 2007.06936), eq. 3 to 6; Monodepth2 (arXiv 1806.01260), eq. 4 and 5.

    Args:
        smoothness: weight at full size, halved with every resolution; 0 leaves the term out.
        automasking: False ignores the neighbours as they are.
        average: True takes means over the neighbours instead of minima.
        ssim: False compares by the absolute difference alone.
        pyramid: makes the images the smoothness of smaller disparities looks at; Monodepth2: `lanczos_pyramid`.
    """

    def __init__(
        self,
        smoothness: float = 1e-3,
        automasking: bool = True,
        average: bool = False,
        ssim: bool = True,
        pyramid: Pyramid = bilinear_pyramid,
    ):
        super().__init__()
        self.smoothness, self.automasking, self.average = smoothness, automasking, average
        self.ssim, self.pyramid = ssim, pyramid

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
            disp: r -> (B, 1, H/2^r, W/2^r) sigmoid disparity. P disparities of the same images may lie one after the
                other, (P*B, ...); `warped` then holds (R*P*B, ...), and all are compared with one set of statistics.
            keep: (B, H, W) True or 1 where a pixel counts; dropped pixels add 0, the mean still divides by all.

        Returns:
            scalar loss; terms per resolution, ``loss/r`` and ``disp_smth_loss/r``, and where there are several
            disparities the loss of each, ``loss_of/p``.
        """
        reference = Reference.of(target)
        frames = sorted(warped, reverse=True)  # the later one first, which wins where two are equal
        unmoved = self._error([sources[f] for f in frames], reference) if self.automasking else None
        views = [warped[f].view(-1, *target.shape) for f in frames]
        resolutions = sorted(disp)
        errors = reprojection_error(views, reference, unmoved, keep, self.ssim, self.average)
        photometric = errors.view(len(resolutions), -1)  # (R, P)
        images = self.pyramid(target, [disp[r].shape[-2:] for r in resolutions]) if self.smoothness > 0 else []
        terms: dict[str, Tensor] = {}
        losses = []
        for index, r in enumerate(resolutions):
            loss = photometric[index]
            if self.smoothness > 0:
                each = [edge_aware_smoothness(one, images[index]) for one in disp[r].split(len(target))]
                smoothness = self.smoothness * torch.stack(each) / 2**r
                terms[f"disp_smth_loss/{r}"] = smoothness.mean()
                loss = loss + smoothness
            terms[f"loss/{r}"] = loss.mean()
            losses.append(loss)
        table = torch.stack(losses)
        if table.shape[1] > 1:
            terms |= {f"loss_of/{p}": one for p, one in enumerate(table.mean(0))}
        return table.mean(), terms

    def maps(
        self, target: Tensor, sources: dict[int, Tensor], warped: dict[int, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """What `forward` sees at full size, of the first disparity, for pictures; arguments as there.

        Returns:
            photometric error of the warped neighbours (B, H, W) in [0, 1]; where it is below that of the neighbours as
            they are, so that the pixel counts, (B, H, W) bool, None without automasking.
        """
        reference = Reference.of(target)
        error = self._error([image[: len(target)] for image in warped.values()], reference)
        if not self.automasking:
            return error, None
        return error, error < self._error([sources[frame] for frame in warped], reference)

    def _error(self, images: list[Tensor], reference: Reference) -> Tensor:
        """Error (B, H, W) of the neighbour that fits best, or mean over them, without gradient."""
        with torch.no_grad():
            errors = photometric_error(torch.cat(images), reference, self.ssim)
            return errors.mean(0) if self.average else errors.amin(0)
