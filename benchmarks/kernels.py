"""How many kernels a step starts, and how often it changes the layout of a map: counted on a CPU, meant for a GPU.

A GPU is often idle while the host starts kernels, so their number is a measure of its own. The CPU knows operators
instead, which become one kernel each or nearly so; convolutions that are given two layouts copy one of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from losses import reprojection

from .train_step import STEPS, TrainStep, street_folder

COPIES = ("aten::clone", "aten::_to_copy", "aten::copy_")
FREE = ("aten::empty", "aten::detach", "aten::promote_types", "aten::_unsafe_view")
"""Operators that start no kernel though they return no view; all whose names begin so."""


class Kernels(TorchDispatchMode):
    """Counts while it is active.

    started: operators that compute, by name
    changed: copies of a map (B, C, H, W) from one memory layout to the other, by C
    mixed:   maps in convolutions, or gradients of these, that do not have their channels last, by C; a pixel has none
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: Counter[str] = Counter()
        self.changed: Counter[int] = Counter()
        self.mixed: Counter[int] = Counter()

    def __torch_dispatch__(
        self, operator: Any, types: Sequence[type], given: Sequence[Any] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        """Count one."""
        found = operator(*given, **(named or {}))
        schema = operator._schema
        views = any(one.alias_info is not None and not one.alias_info.is_write for one in schema.returns)
        if views or schema.name.startswith(FREE):
            return found
        self.started[schema.name] += 1
        if schema.name in COPIES and _is_map(found):
            source = given[1] if schema.name == "aten::copy_" else given[0]
            if source.shape == found.shape and _last(source) != _last(found):
                self.changed[found.shape[1]] += 1
        if schema.name.startswith("aten::convolution"):
            maps = [each for each in given[:2] if isinstance(each, Tensor) and _is_map(each)]
            self.mixed.update(each.shape[1] for each in maps if not _last(each))
        return found


def _is_map(tensor: Tensor) -> bool:
    """Whether its layout matters: it has channels and pixels, and these differ."""
    differs = tensor.dim() == 4 and 0 not in tensor.stride()
    return differs and tensor.shape[1] > 1 and tensor.shape[2] * tensor.shape[3] > 1


def _last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


@contextmanager
def as_on_gpus() -> Iterator[None]:
    """Inside, the photometric loss compares everything at once, as it does on a GPU."""
    on_cpu = reprojection._at_once
    reprojection._at_once = lambda _: True
    try:
        yield
    finally:
        reprojection._at_once = on_cpu


def kernels(step: Callable[[], object]) -> Kernels:
    """What a step starts that was taken once before."""
    with as_on_gpus():
        step()
        with Kernels() as counted:
            step()
    return counted


def main(size: tuple[int, int]) -> None:
    """Print the table."""
    print("| training step | operators | changes of layout | maps without channels last in convolutions |")
    print("| --- | --- | --- | --- |")
    with street_folder() as data:
        for name, setting in STEPS.items():
            found = kernels(TrainStep(replace(setting, data=data, size=size, batch=2)))
            print(f"| {name} | {found.started.total()} | {found.changed.total()} | {found.mixed.total()} |", flush=True)
