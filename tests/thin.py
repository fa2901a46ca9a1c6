"""Networks of an eighth of their width: what surrounds them is tested as well with these, and far sooner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from torch import nn
from torchvision.models import resnet

from models import attention, decoders, encoders, monodepth2, pose, sgdepth
from models.bdedepth import decoder as grid
from models.sd_convtrans import diffusion, network, transformer

BUILDERS = (resnet, attention, decoders, encoders, monodepth2, pose, sgdepth, grid, diffusion, network)


def thinned(channels: int) -> int:
    """Channels inside these networks are multiples of 16, sums along skip connections too; what goes in or out not."""
    return channels if channels % 16 else channels // 8


class Conv2d(nn.Conv2d):
    """A convolution of an eighth of the channels, and of the groups."""

    def __init__(self, in_channels: int, out_channels: int, *args: object, groups: int = 1, **options: object):
        super().__init__(thinned(in_channels), thinned(out_channels), *args, groups=thinned(groups), **options)


class Linear(nn.Linear):
    """A layer of an eighth of the features."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(thinned(in_features), thinned(out_features))


class LayerNorm(nn.LayerNorm):
    """Its normalisation."""

    def __init__(self, features: int, eps: float):
        super().__init__(thinned(features), eps=eps)


class OutputConv2d(decoders.OutputConv2d):
    """An output of an eighth of the channels."""

    def __init__(self, in_channels: int, out_channels: int, *args: object, **options: object):
        super().__init__(thinned(in_channels), thinned(out_channels), *args, **options)


class BatchNorm2d(nn.BatchNorm2d):
    """Its normalisation."""

    def __init__(self, num_features: int, *args: object, **options: object):
        super().__init__(thinned(num_features), *args, **options)


THICK_OUTPUT = decoders.OutputConv2d
THIN = SimpleNamespace(**{**vars(nn), "Conv2d": Conv2d, "BatchNorm2d": BatchNorm2d})
THIN_TOKENS = SimpleNamespace(**{**vars(THIN), "Linear": Linear, "LayerNorm": LayerNorm})


def is_on() -> bool:
    """Whether networks made now are thin."""
    return sgdepth.nn is THIN


def make_thin() -> None:
    """From now on, ResNets and what is built on them are thin."""
    _make(THIN, OutputConv2d, THIN_TOKENS)


def _make(layers: Any, output: type[nn.Conv2d], tokens: Any) -> None:
    transformer.nn = tokens
    for module in BUILDERS:
        module.nn = layers
        if hasattr(module, "OutputConv2d"):
            module.OutputConv2d = output
    decoders.PaddedConv.__init__.__defaults__ = (layers.Conv2d,)


@contextlib.contextmanager
def thin_networks() -> Iterator[None]:
    """Networks made inside are thin, those of commands started inside as well."""
    make_thin()
    try:
        yield
    finally:
        _make(nn, THICK_OUTPUT, nn)
