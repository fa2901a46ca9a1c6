"""PReLU whose way back does not cost more than the convolutions beside it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import prelu


class OneSlopePReLU(nn.PReLU):
    """`nn.PReLU` with one slope for all channels: the same parameter, values and gradients; any shape.

    On a CPU the backward pass of PyTorch takes many times as long as its operations one by one.
    """

    def __init__(self):
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        """Negative values times the slope."""
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return prelu(x, self.weight)
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        return _PReLU.apply(x.to(kind), self.weight.to(kind))


class _PReLU(torch.autograd.Function):
    """Of x and of a slope (1,) of its type."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        """Also keeps what the way back needs."""
        ctx.save_for_backward(x, slope)
        return prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Of the input, and of the slope: the sum over all negative values of value times gradient."""
        x, slope = ctx.saved_tensors
        of_input = torch.ops.aten.threshold_backward(gradient, x, 0)  # 0 where x is negative
        negative = gradient - of_input  # and this where it is positive, so that both sums are exact
        of_input.addcmul_(negative, slope)
        return of_input, negative.mul_(x).sum().view(1)
