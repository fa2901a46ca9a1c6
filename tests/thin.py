"""Networks of an eighth of their width: what surrounds them is tested as well with these, and far sooner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from torch import nn
from torchvision.models import resnet

from models import attention, decoders, encoders, lapdepth, monodepth2, pose, sgdepth
from models.bdedepth import decoder as grid
from models.dpt import backbone
from models.dpt import network as dpt
from models.sd_convtrans import diffusion, network, transformer
from models.spatial_kd import decoder as basic
from models.spatial_kd import encoders as converted

BUILDERS = (resnet, attention, decoders, encoders, monodepth2, pose, sgdepth, grid, basic, converted, lapdepth)
BUILDERS += (diffusion, network)
BESIDE_FOUR = (60, 124, 252)  # channels beside which LapDepth has those of a depth map and three colours


def thinned(channels: int) -> int:
    """Channels inside these networks are multiples of 16, sums along skip connections too; what goes in or out not."""
    if channels in BESIDE_FOUR:
        return (channels + 4) // 8 - 4
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


class GroupNorm(nn.GroupNorm):
    """Its normalisation in as many groups."""

    def __init__(self, num_groups: int, num_channels: int):
        super().__init__(num_groups, thinned(num_channels))


class StandardisedConv2d(lapdepth.StandardisedConv2d):
    """A convolution of LapDepth of an eighth of the channels."""

    def __init__(self, channels: int, out: int, *args: int):
        super().__init__(thinned(channels), thinned(out), *args)


class ExactConv2d(lapdepth.ExactConv2d):
    """An output of LapDepth of an eighth of the channels."""

    def __init__(self, channels: int, out: int, *args: int):
        super().__init__(thinned(channels), thinned(out), *args)


OUTER = {
    "OutputConv2d": (decoders.OutputConv2d, OutputConv2d),
    "StandardisedConv2d": (lapdepth.StandardisedConv2d, StandardisedConv2d),
    "ExactConv2d": (lapdepth.ExactConv2d, ExactConv2d),
}
"""Layers of ours by name, as they are and thin."""
THIN = SimpleNamespace(**{**vars(nn), "Conv2d": Conv2d, "BatchNorm2d": BatchNorm2d, "GroupNorm": GroupNorm})
THICK_DPT = (dict(backbone.VARIANTS), dpt.FEATURES)
THIN_DPT = (  # an eighth of the width of the transformer and of what follows it; its ResNet is timm's
    {
        name: replace(
            kind,
            width=kind.width // 8,
            channels=tuple(count // 8 if count == kind.width else count for count in kind.channels),
        )
        for name, kind in backbone.VARIANTS.items()
    },
    dpt.FEATURES // 8,
)
THIN_TOKENS = SimpleNamespace(**{**vars(THIN), "Linear": Linear, "LayerNorm": LayerNorm})


def is_on() -> bool:
    """Whether networks made now are thin."""
    return sgdepth.nn is THIN


def make_thin() -> None:
    """From now on, ResNets and what is built on them are thin, and DPT."""
    _make(THIN, THIN_TOKENS, *THIN_DPT)


def make_whole() -> None:
    """From now on, networks are what they are."""
    _make(nn, nn, *THICK_DPT)


def _make(layers: Any, tokens: Any, variants: dict[str, backbone.Variant], features: int) -> None:
    transformer.nn = tokens
    for module in BUILDERS:
        module.nn = layers
        for name, kinds in OUTER.items():
            if hasattr(module, name):
                setattr(module, name, kinds[layers is THIN])
    decoders.PaddedConv.__init__.__defaults__ = (layers.Conv2d,)
    backbone.VARIANTS.update(variants)
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
