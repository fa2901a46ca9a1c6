"""Networks of an eighth of their width: what surrounds them is tested as well with these, and far sooner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

from torch import nn
from torchvision.models import resnet

from models import attention, decoders, encoders, monodepth2, pose, sgdepth

BUILDERS = (resnet, attention, decoders, encoders, monodepth2, pose, sgdepth)


def thinned(channels: int) -> int:
    """Channels inside these networks are multiples of 16, sums along skip connections too; what goes in or out not."""
    return channels if channels % 16 else channels // 8


class Conv2d(nn.Conv2d):
    """A convolution of an eighth of the channels."""

    def __init__(self, in_channels: int, out_channels: int, *args: object, **options: object):
        super().__init__(thinned(in_channels), thinned(out_channels), *args, **options)


class OutputConv2d(decoders.OutputConv2d, Conv2d):
    """The last one, whose outputs stay what they are."""


class BatchNorm2d(nn.BatchNorm2d):
    """Its normalisation."""

    def __init__(self, num_features: int, *args: object, **options: object):
        super().__init__(thinned(num_features), *args, **options)


WHOLE_OUTPUT = decoders.OutputConv2d
THIN = SimpleNamespace(**{**vars(nn), "Conv2d": Conv2d, "BatchNorm2d": BatchNorm2d})


def is_on() -> bool:
    """Whether networks made now are thin."""
    return sgdepth.nn is THIN


def make_thin() -> None:
    """From now on, ResNets and what is built on them are thin."""
    _build_from(THIN, OutputConv2d)


@contextlib.contextmanager
def thin_networks() -> Iterator[None]:
    """Networks made inside are thin, those of commands started inside as well."""
    make_thin()
    try:
        yield
    finally:
        _build_from(nn, WHOLE_OUTPUT)


def _build_from(layers: object, output: type[nn.Conv2d]) -> None:
    decoders.PaddedConv.__init__.__defaults__ = (layers.Conv2d,)
    for module in BUILDERS:
        module.nn = layers
        if hasattr(module, "OutputConv2d"):
            module.OutputConv2d = output
