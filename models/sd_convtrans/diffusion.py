"""The boundary diffusion block: what a feature takes from its neighbours counts as the guide changes between them."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..decoders import exact

Kernel = Literal["trained", "random", "none"]


def guided_difference(U: Tensor, V: Tensor, kernel: Tensor) -> Tensor:
    """One explicit step of anisotropic diffusion of U, steered by V.

        D = K(U V) - K(U) V - U K(V) + K1(U V)

    K is a 3x3 convolution with zero padding, K1 the 1x1 convolution with its spatial sums; products are elementwise.
    Of a depthwise K this is sum_k w_k (U_k - U_0)(V_k - V_0): differences of U to its neighbours count in proportion
    to those of V. A full K mixes channels besides. The four terms nearly cancel, so they are computed in float32 at
    least.

    Shapes:  U, V (B, C, h, w); kernel (C, C, 3, 3).    Returns: (B, C, h, w).
    """
    with torch.autocast(U.device.type, enabled=False):
        U, V, kernel = exact(U), exact(V), exact(kernel)
        centre = F.pad(kernel.sum((2, 3), keepdim=True), (1, 1, 1, 1))
        own, guide = (F.conv2d(x, kernel, padding=1) for x in (U, V))
        return F.conv2d(U * V, kernel + centre, padding=1) - own * V - U * guide


class Diffusion(nn.Module):
    """Refines a feature under guidance: Y = ReLU(BN(Conv1x1([U, D]))), with D of `guided_difference`.

    The published code draws K anew in every pass, so that it never learns; here it is a parameter.

    kernel: ``trained``; ``random`` draws it in every pass, as published; ``none`` leaves D out

    Shapes:  U (B, 128, h, w), V (B, 128, any size).    Returns: (B, 256, h, w).
    """

    def __init__(self, channels: int = 128, kernel: Kernel = "trained"):
        super().__init__()
        self.redrawn = kernel == "random"
        self.conv_gg = None
        if kernel != "none":
            self.conv_gg = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.conv_gg.requires_grad_(kernel == "trained")
        given = channels if self.conv_gg is None else 2 * channels
        out = 2 * channels
        self.conv2 = nn.Sequential(nn.Conv2d(given, out, 1), nn.BatchNorm2d(out), nn.ReLU())

    def forward(self, U: Tensor, V: Tensor) -> Tensor:
        """Refine U; V is brought to its grid, corner pixels on corner pixels."""
        if self.conv_gg is None:
            return self.conv2(U)
        if U.shape[2:] != V.shape[2:]:
            V = F.interpolate(V, U.shape[2:], mode="bilinear", align_corners=True)
        difference = guided_difference(U, V, self._kernel())
        return self.conv2(torch.cat((U, difference.to(U.dtype)), 1))

    def _kernel(self) -> Tensor:
        if self.redrawn:
            with torch.no_grad():
                self.conv_gg.reset_parameters()
        return self.conv_gg.weight
