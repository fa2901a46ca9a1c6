"""Moments of published files, and noted numbers, meet weights and flags of another memory layout or device."""

from __future__ import annotations

import copy

import torch
from torch import nn

from engine.optimizer import load_optimizer
from losses.masking import DynamicClassMask


def test_moments_of_contiguous_networks_move_the_weights_they_belong_to():
    torch.manual_seed(0)
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.randn(8, 4, 3, 3), "exp_avg_sq": torch.rand(8, 4, 3, 3)}
    weights = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = nn.Conv2d(4, 8, 3, bias=False).to(memory_format=layout)
        nn.init.constant_(network.weight, 0.5)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
        groups = optimizer.state_dict()["param_groups"]
        load_optimizer(optimizer, {"state": {0: copy.deepcopy(moments)}, "param_groups": groups})
        network.weight.grad = torch.ones_like(network.weight)
        optimizer.step()
        weights.append(network.weight.detach().clone())
    assert torch.equal(*weights)


def test_masking_that_has_noted_nothing_settles_on_any_device():
    with torch._subclasses.FakeTensorMode():
        bad = torch.zeros((), device="cuda")
    mask = DynamicClassMask(15, 20, False, 0.1)
    mask.begin_epoch()
    mask.after_step(bad)
