"""PReLU with a cheap way back, beside that of PyTorch."""

import pytest
import torch
from torch import nn

from models.slope import OneSlopePReLU


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5, 1.5])
def test_values_and_gradients_are_those_of_prelu(slope, half):
    x = torch.randn(2, 6, 5, 7).to(memory_format=torch.channels_last)
    x[0, 0, 0, :3] = 0  # where both have the gradient of the negative side
    found = []
    for module in (OneSlopePReLU(), nn.PReLU()):
        nn.init.constant_(module.weight, slope)
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out = module(given)
        out.backward(torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype))
        found.append((out, given.grad, module.weight.grad))
    (out, of_input, of_slope), (out_there, of_input_there, of_slope_there) = found
    assert out.dtype == out_there.dtype == (torch.bfloat16 if half else torch.float32)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, out_there, rtol=0, atol=0)
    torch.testing.assert_close(of_input, of_input_there, rtol=0, atol=0)
    torch.testing.assert_close(of_slope, of_slope_there, rtol=1e-2 if half else 1e-5, atol=1e-2 if half else 1e-5)


def test_gradients_are_those_of_differences():
    slope = torch.full((1,), 0.3, dtype=torch.float64, requires_grad=True)
    module = OneSlopePReLU().double()
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: torch.func.functional_call(module, {"weight": w}, (x,)), (x, slope))


def test_its_parameter_has_the_name_of_published_files():
    assert list(OneSlopePReLU().state_dict()) == list(nn.PReLU().state_dict()) == ["weight"]


def test_an_exported_network_has_the_operator_of_pytorch():
    exported = torch.export.export(OneSlopePReLU(), (torch.randn(1, 2, 3, 3),))
    assert "prelu" in str(exported.graph)
