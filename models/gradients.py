"""One value for several readers, each of which is heard with its own weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x[:]  # `view_as` forgets the layout of a single image

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.scale, None


def scale_gradient(x: Tensor, scale: float) -> Tensor:
    """`x` unchanged; its gradient is multiplied by `scale` on the way back."""
    return x if scale == 1.0 else _Scale.apply(x, scale)


def split_with_scales(inputs: Sequence[Tensor], scales: Sequence[float]) -> list[list[Tensor]]:
    """One copy of `inputs` per scale; gradients of a copy are multiplied by its scale, then summed.

    Source: SGDepth, section 3.3 of the paper (weighting the tasks at the shared encoder).
    """
    return [[scale_gradient(x, scale) for x in inputs] for scale in scales]
