"""Gradients of compiled training steps: near those of double precision, as uncompiled ones are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch._inductor.config
from torch import Tensor

import methods
from engine.device import require_compiler
from errors import UserError
from tests.methods.test_every_method import TRAINED, batches_for, no_teacher, options

pytestmark = pytest.mark.usefixtures("thin", "compiler")


@pytest.fixture(scope="module")
def compiler(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("full"):
        pytest.skip("takes minutes; --full")
    try:
        require_compiler("--train-compile", torch.device("cpu"))
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def numbers_of_eager_mode():
    """Paths are dropped by the same random numbers; compiled code has its own otherwise."""
    torch.compiler.reset()
    with torch._inductor.config.patch(fallback_random=True):
        yield
    torch.compiler.reset()


def in_type(value: Any, dtype: torch.dtype) -> Any:
    """Tensors of a batch as far as they are floating point."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    return {key: in_type(each, dtype) for key, each in value.items()} if isinstance(value, Mapping) else value


def gradient(name: str, dtype: torch.dtype, compiled: bool = False) -> Tensor:
    """Of all weights, one after the other."""
    args = options(name)
    args.patch_distill, args.train_compile = False, compiled
    if hasattr(args, "depth_disable_automasking"):
        args.depth_disable_automasking = True
    torch.manual_seed(0)
    network = methods.building(name).network(args).train().to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        for key, bias in network.named_parameters():
            # At rest every pixel is met at its centre, where bilinear sampling has two slopes: the last digit decides.
            if key.startswith("pose.") and key.endswith("bias") and len(bias) in (6, 12):
                bias.add_(torch.linspace(2, 5, len(bias)))
    training = methods.training(name).training(args, network, no_teacher, contextlib.nullcontext)
    for part in vars(training).values():
        if isinstance(part, torch.nn.Module):
            part.to(dtype)
    if compiled:
        network.compile(dynamic=False)
    training.begin_epoch(0, 0)
    fields = ("images", "inputs", "K", "inv_K", "depth", "dense", "base")
    batches = [
        replace(batch, **{key: in_type(getattr(batch, key), dtype) for key in fields}) for batch in batches_for(args)
    ]
    sum(outcome.total for outcome in training.step(network, batches, 0, 0)).backward()
    return torch.cat([weight.grad.double().flatten() for weight in network.parameters() if weight.grad is not None])


@pytest.mark.parametrize("name", TRAINED)
def test_compiled_steps_have_the_gradient_of_others(name):
    true = gradient(name, torch.float64)
    eager, compiled = ((gradient(name, torch.float32, kind) - true).norm() / true.norm() for kind in (False, True))
    assert eager < 1e-2 and compiled < max(10 * eager, 5e-3)
