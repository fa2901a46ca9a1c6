"""Where half precision ends inside a network."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d
from torch.testing import assert_close

from models.decoders import OutputConv2d


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_output_convolutions_leave_autocast(half, compiled):
    layer = OutputConv2d(4, 2, 3)
    called = torch.compile(layer, backend="eager", fullgraph=True) if compiled else layer
    x = torch.rand(1, 4, 8, 8).to(half).requires_grad_()
    with torch.autocast("cpu", half):
        found = called(x)
    assert_close(found, conv2d(x.float(), layer.weight, layer.bias), rtol=0, atol=0)
    found.sum().backward()
    assert x.grad.dtype == half and layer.weight.grad.dtype == torch.float32


def test_output_convolutions_keep_double_precision():
    layer, x = OutputConv2d(1, 1, 1).double(), torch.rand(1, 1, 2, 2, dtype=torch.float64)
    assert_close(layer(x), conv2d(x, layer.weight, layer.bias), rtol=0, atol=0)
