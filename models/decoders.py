"""The decoder of Monodepth2 and SGDepth: ten steps from 1/32 to full size, in SGDepth cut where two tasks part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (256, 128, 64, 32, 16)  # of the five finished maps, 1/16 .. full size
STEPS = 2 * len(CHANNELS)


def exact(x: Tensor) -> Tensor:
    """What leaves a network is float32 even where half precision was used inside."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class OutputConv2d(nn.Conv2d):
    """The last convolution of a network whose outputs are measures: (B, C, H, W) -> (B, out, H', W') at least float32.

    It leaves autocast: what it adds up in half precision would have some 200 different values, whatever they are cast
    to afterwards.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(exact(x))


class Reflected(torch.autograd.Function):
    """Reflection padding of one pixel in the layout of x: (B, C, H, W) -> (B, C, H+2, W+2); H and W at least 4.

    What PyTorch has for GPUs knows one layout: maps with channels last are copied before it, and behind it again.
    Lines that go to both borders move together, so that a pass takes few kernels.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        """Pad."""
        height, width = x.shape[-2:]
        shape = (*x.shape[:2], height + 2, width + 2)
        padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=_layout(x))
        padded[..., 1:-1, 1:-1] = x
        padded[..., 1:-1, :: width + 1] = x[..., 1 : -1 : width - 3]  # first and last column from those next to them
        padded[..., :: height + 1, :] = padded[..., 2 : -2 : height - 3, :]
        return padded

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
        """Add to every pixel what its mirror images get."""
        height, width = (side - 2 for side in grad.shape[-2:])
        inner = grad[..., 1:-1, 1:-1].clone(memory_format=_layout(grad))
        inner[..., 1 : -1 : width - 3] += grad[..., 1:-1, :: width + 1]
        rows = grad[..., :: height + 1, :].clone()
        rows[..., 2 : -2 : width - 3] += rows[..., :: width + 1]
        inner[..., 1 : -1 : height - 3, :] += rows[..., 1:-1]
        return inner


def _layout(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def reflect(x: Tensor) -> Tensor:
    """Reflection padding of one pixel: (B, C, H, W) -> (B, C, H+2, W+2), H and W at least 2."""
    if not x.is_cuda or torch.compiler.is_compiling() or min(x.shape[-2:]) < 4:
        return F.pad(x, (1, 1, 1, 1), mode="reflect")
    return Reflected.apply(x)


class PaddedConv(nn.Module):
    """3x3 convolution after reflection padding: (B, C, H, W) -> (B, out, H, W), H and W at least 2."""

    def __init__(self, channels: int, out: int, kind: type[nn.Conv2d] = nn.Conv2d):
        super().__init__()
        self.conv = kind(channels, out, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self.conv(reflect(x))


def step_channels(widths: Sequence[int], step: int) -> tuple[int, int]:
    """Channels before and after the convolution of one of the ten steps; `widths` of the five encoder maps."""
    stage, enlarges = divmod(step, 2)
    skip = widths[3 - stage] if stage < 4 else 0
    before = CHANNELS[stage - 1] if stage else widths[-1]
    return CHANNELS[stage] + skip if enlarges else before, CHANNELS[stage]


def decode(
    convolutions: Iterable[nn.Module], first: int, y: Tensor, skips: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Run the steps from `first` on, one per convolution.

    Even steps thin the channels; odd ones enlarge by two, append the encoder map of that size and mix. All end
    with an ELU; there is no normalisation.  Source: Monodepth2 (arXiv 1806.01260), table of the appendix.

    Args:
        convolutions: 3x3 with reflection padding, with the channels of `step_channels`.
        first: step of the first convolution.
        y: state before that step.
        skips: encoder maps of 1/2 to 1/16, finest first.

    Returns:
        the state after the last step, and the maps finished by odd steps, coarsest first.
    """
    finished = []
    for step, convolution in enumerate(convolutions, first):
        stage, enlarges = divmod(step, 2)
        if enlarges:
            y = F.interpolate(y, scale_factor=2, mode="nearest")
            if stage < 4:
                y = torch.cat((y, skips[3 - stage]), 1)
        y = F.elu(convolution(y))
        if enlarges:
            finished.append(y)
    return y, finished


class Decoder(nn.Module):
    """Steps `first` to `last` (exclusive) of the ten.  Source: SGDepth (ECCV 2020), after Monodepth2."""

    def __init__(self, widths: Sequence[int], first: int, last: int):
        super().__init__()
        self.first = first
        self.blocks = nn.ModuleDict(
            {f"step_{step}": PaddedConv(*step_channels(widths, step)) for step in range(first, last)}
        )

    def forward(self, y: Tensor, skips: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """State after the last step and the maps finished on the way; see `decode`."""
        return decode(self.blocks.values(), self.first, y, skips)


class MultiResolution(nn.Module):
    """One output convolution per resolution, r = 0 the finest: maps coarsest first -> {r: (B, out, H/2^r, W/2^r)}.

    kind: of the convolutions, `OutputConv2d` where the outputs are measures
    """

    def __init__(self, out: int, resolutions: int, kind: type[nn.Conv2d]):
        super().__init__()
        self.convs = nn.ModuleList(kind(CHANNELS[4 - r], out, 3) for r in range(resolutions))

    def forward(self, finished: Sequence[Tensor]) -> dict[int, Tensor]:
        """Outputs of all resolutions, without activation."""
        return {r: conv(reflect(finished[4 - r])) for r, conv in enumerate(self.convs)}
