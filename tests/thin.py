"""Networks of an eighth of their width: what surrounds them is tested as well with these, and far sooner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from torch import nn
from torchvision.models import resnet

from models import attention, decoders, encoders, monodepth2, pose, sgdepth
from models.bdedepth import decoder as grid
from models.dpt import backbone as transformer
from models.dpt import network as dpt

BUILDERS = (resnet, attention, decoders, encoders, monodepth2, pose, sgdepth, grid)


def thinned(channels: int) -> int:
    """Channels inside these networks are multiples of 16, sums along skip connections too; what goes in or out not."""
    return channels if channels % 16 else channels // 8


class Conv2d(nn.Conv2d):
    """A convolution of an eighth of the channels."""

    def __init__(self, in_channels: int, out_channels: int, *args: object, **options: object):
        super().__init__(thinned(in_channels), thinned(out_channels), *args, **options)


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
THICK_DPT = (dict(transformer.VARIANTS), dpt.FEATURES)
THIN_DPT = (  # an eighth of the width of the transformer and of what follows it; its ResNet is timm's
    {
        name: replace(
            kind,
            width=kind.width // 8,
            channels=tuple(count // 8 if count == kind.width else count for count in kind.channels),
        )
        for name, kind in transformer.VARIANTS.items()
    },
    dpt.FEATURES // 8,
)


def is_on() -> bool:
    """Whether networks made now are thin."""
    return sgdepth.nn is THIN


def make_thin() -> None:
    """From now on, ResNets and what is built on them are thin, and DPT."""
    _make(THIN, OutputConv2d, *THIN_DPT)


def make_whole() -> None:
    """From now on, networks are what they are."""
    _make(nn, THICK_OUTPUT, *THICK_DPT)


def _make(layers: Any, output: type[nn.Conv2d], variants: dict[str, transformer.Variant], features: int) -> None:
    for module in BUILDERS:
        module.nn = layers
        if hasattr(module, "OutputConv2d"):
            module.OutputConv2d = output
    decoders.PaddedConv.__init__.__defaults__ = (layers.Conv2d,)
    transformer.VARIANTS.update(variants)
    dpt.FEATURES = features


@contextlib.contextmanager
def thin_networks(on: bool = True) -> Iterator[None]:
    """Networks made inside are thin, or whole, those of commands started inside as well."""
    before = is_on()
    make_thin() if on else make_whole()
    try:
        yield
    finally:
        make_thin() if before else make_whole()
