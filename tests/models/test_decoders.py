"""Where half precision ends inside a network, and how maps are padded."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, pad
from torch.testing import assert_close

from models.decoders import OutputConv2d, Reflected


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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 4), (4, 7), (6, 5)])
def test_padding_for_gpus_reflects_forward_and_backward_in_the_layout_it_is_given(size, layout):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    found, want = Reflected.apply(x), pad(x, (1, 1, 1, 1), mode="reflect")
    assert_close(found, want, rtol=0, atol=0)
    assert found.is_contiguous(memory_format=layout)
    weights = torch.randn_like(want)
    (mine,), (theirs,) = (torch.autograd.grad((weights * y).sum(), x) for y in (found, want))
    assert_close(mine, theirs)
    assert mine.is_contiguous(memory_format=layout)
