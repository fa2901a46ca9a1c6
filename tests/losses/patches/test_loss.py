"""The patch loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from losses.patches.loss import PatchLoss
from losses.patches.refine import Refined
from losses.photometric import Reference, dssim, pooled_mean
from tests import golden


def refined(target: torch.Tensor, counted: torch.Tensor) -> Refined:
    return Refined(target, counted, torch.zeros_like(target), (), counted, torch.ones(len(target), dtype=torch.bool))


def enlarged(values: np.ndarray) -> torch.Tensor:
    return F.interpolate(torch.from_numpy(values), (48, 96), mode="bilinear", align_corners=True)


@pytest.fixture(scope="module")
def case() -> tuple[torch.Tensor, torch.Tensor, dict[str, np.ndarray], dict]:
    meta, want = golden.load("sgdem_patch_loss")
    smooth = 0.05 + 0.4 * enlarged(golden.uniform(201, 2, 1, 6, 12))
    disp = smooth + 0.01 * torch.from_numpy(golden.uniform(202, 2, 1, 48, 96))
    return disp, smooth + 0.02 * enlarged(golden.uniform(203, 2, 1, 12, 24)), want, meta


def test_value_and_gradient_match_the_golden(case):
    disp, target, want, _ = case
    omega = torch.from_numpy(want["omega"]).bool()
    assert torch.equal(omega, enlarged(golden.uniform(204, 2, 1, 4, 6)) > 0.4)
    disp = disp.clone().requires_grad_()
    loss = PatchLoss(16)(disp, refined(target, omega))
    loss.backward()
    assert_close(loss.item(), float(want["loss_decided"]), rtol=1e-5, atol=0)
    golden.assert_close_to_max(disp.grad.numpy(), want["grad_decided"], 1e-5)
    golden.assert_close_to_max(dssim(disp.detach(), Reference.of(target, pooled_mean))[0].numpy(), want["dssim"], 1e-5)


def test_the_released_form_is_understood(case):
    disp, target, want, meta = case
    disp = disp.clone().requires_grad_()
    patches = sum(meta["inputs"]["patchnums"])
    similar = dssim(disp, Reference.of(target, pooled_mean)).sum() / (patches * len(disp) * 128)
    loss = 2 * (0.2 * similar + 0.8 * (disp - target).square().mean())
    loss.backward()
    assert_close(loss.item(), float(want["loss_released"]), rtol=1e-5, atol=0)
    golden.assert_close_to_max(disp.grad.numpy(), want["grad_released"], 1e-5)


def test_it_is_a_mean_over_the_pixels_that_count():
    torch.manual_seed(0)
    disp, target = torch.rand(2, 1, 16, 24), torch.rand(2, 1, 16, 24)
    counted = torch.rand(2, 1, 16, 24) > 0.7
    unlike = 0.2 * dssim(disp, Reference.of(target))[0] + 0.8 * (disp - target) ** 2
    assert_close(PatchLoss(5.0)(disp, refined(target, counted)), 5 * unlike[counted].mean())


def test_nothing_that_counts_is_zero_and_can_be_differentiated():
    disp = torch.rand(1, 1, 16, 16, requires_grad=True)
    target = torch.rand(1, 1, 16, 16, requires_grad=True)
    loss = PatchLoss()(disp, refined(target, torch.zeros(1, 1, 16, 16, dtype=torch.bool)))
    loss.backward()
    assert loss.item() == 0 and not bool(disp.grad.any())
    PatchLoss()(disp, refined(target, torch.ones(1, 1, 16, 16, dtype=torch.bool))).backward()
    assert bool(disp.grad.any()) and target.grad is None
