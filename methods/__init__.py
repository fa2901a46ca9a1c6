"""The systems, one folder each. Imports no torch: what does is loaded when a method is built."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .method import Method

NAMES = ("sgdem", "sgdepth", "monodepth2", "bdedepth", "spatial_kd", "lapdepth", "sd_convtrans", "dpt")
"""Folders of this package; the first one is the default."""

METHODS: dict[str, Method] = {name: import_module(f".{name}", __package__).METHOD for name in NAMES}


def building(name: str) -> ModuleType:
    """Module of a method with ``check(args)``, ``network(args, pretrained)`` and ``items(args)``."""
    return import_module(f".{name}.build", __package__)


def training(name: str) -> ModuleType:
    """Module of a method with ``training(args, network, open_teacher, autocast)``."""
    return import_module(f".{name}.training", __package__)


def keys(name: str) -> ModuleType:
    """Module of a method with ``adopt(state)``."""
    return import_module(f".{name}.keys", __package__)
