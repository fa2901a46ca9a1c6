"""Blockwise channel attention against the released code, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from models import attention
from models.attention import AtrousPyramid, Attended, StripAttention, strip_attention
from models.sgdepth import IMAGENET_MEAN, IMAGENET_STD, SGDepth
from tests import golden


@pytest.mark.parametrize("strips", [1, 3, 4])
def test_value_and_gradient_match_the_released_code(strips):
    _, want = golden.load("sgdem_attention")
    x = torch.from_numpy(golden.uniform(101, 2, 16, 6, 20)).requires_grad_()
    found = StripAttention(strips)(x)
    (found * torch.from_numpy(golden.uniform(102, 2, 16, 6, 20))).sum().backward()
    golden.assert_close_to_max(found.detach().numpy(), want[f"out_n{strips}"], 1e-5)
    golden.assert_close_to_max(x.grad.numpy(), want[f"grad_n{strips}"], 1e-5)


@pytest.fixture(scope="module")
def released() -> dict[str, torch.Tensor]:
    """The filled state dict of the released model."""
    meta, _ = golden.load("sgdem_model_r50")
    dead = ("dilated_conv", "convx")
    keys = [pair for pair in meta["keys"] if not any(word in pair[0] for word in dead)]
    return golden.state_dict(keys, meta["scale"])


@pytest.mark.parametrize(("variant", "level"), [("released", range(5)), ("bottleneck", [4])])
def test_network_outputs_match_the_released_model(released, variant, level):
    _, want = golden.load("sgdem_model_r50")
    with golden.unfilled():
        model = SGDepth(50, 18, attention={"variant": variant, "strips": 4}).eval()
    model.load_state_dict(released)
    # The file holds frames that are normalised already as (x - mean) / std of these.
    images = torch.from_numpy(golden.uniform(401, 3, 3, 64, 96))
    current, before, after = (images[i : i + 1] for i in range(3))
    with torch.no_grad():
        (found,) = model([{0: current, -1: before, 1: after}], ["depth"])
        logits = model.predict(current).logits
        features = model.common.attended(model.common.encoder(model.normalise(current)))
    for r in range(4):
        golden.assert_close_to_max(found.disp[r].numpy(), want[f"{variant}_disp{r}"], 1e-5)
    golden.assert_close_to_max(logits[:, :, ::2, ::2].numpy(), want[f"{variant}_seg_logits_step2"], 2e-5)
    golden.assert_close_to_max(found.motion[-1][0].numpy(), want[f"{variant}_pose_prev"], 1e-5)
    golden.assert_close_to_max(found.motion[1][0].numpy(), want[f"{variant}_pose_next"], 1e-5)
    for index in level:
        golden.assert_close_to_max(
            features[index].mean((2, 3)).numpy(), want[f"{variant}_level{index}_channel_mean"], 1e-5
        )
    if variant == "released":
        binary = ~torch.isin(logits.argmax(1), torch.tensor([0, 1, 2, 3, 4, 10, 19]))
        assert (binary.numpy() != want["released_binary_mask"][0].astype(bool)).mean() < 1e-3


def test_no_attention_leaves_plain_sgdepth_with_its_keys():
    assert (IMAGENET_MEAN, IMAGENET_STD) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.device("meta"):
        plain, attended = SGDepth(18), SGDepth(18, attention={"variant": "bottleneck"})
    assert list(plain.state_dict()) == list(attended.state_dict())


@pytest.mark.parametrize(("width", "strips"), [(20, 4), (30, 4), (7, 3), (5, 4), (3, 8)])
def test_strips_are_those_of_torch_chunk(width, strips):
    x = torch.rand(2, 8, 3, width)
    one_by_one = torch.cat([strip_attention(part, 1) for part in x.chunk(strips, dim=3)], 3)
    assert_close(strip_attention(x, strips), one_by_one)


def test_half_precision_neither_overflows_nor_changes_the_dtype():
    x = torch.full((1, 8, 16, 16), 300.0, dtype=torch.float16)
    found = StripAttention(2)(x)
    assert found.dtype == torch.float16 and bool(found.isfinite().all())
    assert_close(found.float(), torch.full_like(x, 600.0).float())  # equal channels: A is the channel itself
    with torch.autocast("cpu", torch.bfloat16):
        y = torch.rand(1, 8, 4, 8)
        assert_close(strip_attention(y, 2), strip_attention(y.double(), 2).float(), rtol=1e-4, atol=1e-5)


def test_wide_maps_are_recomputed_with_the_same_gradient(monkeypatch):
    x = torch.rand(1, 6, 4, 8, requires_grad=True)
    module = StripAttention(2)
    (plain,) = torch.autograd.grad(module(x).square().sum(), x)
    monkeypatch.setattr(attention, "CHECKPOINTED_FROM", 6)
    (again,) = torch.autograd.grad(module(x).square().sum(), x)
    assert torch.equal(plain, again)


def test_a_learned_gain_starts_as_the_identity_and_learns():
    x = torch.rand(1, 6, 4, 8)
    module = StripAttention(2, gain=True)
    found = module(x)
    assert torch.equal(found, x)
    found.sum().backward()
    assert module.gain.grad.item() != 0


def test_the_pyramid_keeps_shape_and_sees_far():
    torch.manual_seed(0)
    module = AtrousPyramid(32).eval()
    x = torch.rand(1, 32, 9, 9, requires_grad=True)
    found = module(x)
    assert found.shape == x.shape and len(module.branches) == 3
    found[0, :, 4, 4].sum().backward()
    assert bool(x.grad[0, :, 0, 0].any()) and bool(x.grad[0, :, 0, 4].any())
    levels = Attended((8, 8, 8, 8, 32), "bottleneck", 2, aspp=True).eval()
    maps = [torch.rand(1, 8, 4, 4)] * 4 + [torch.rand(1, 32, 4, 4)]
    out = levels(maps)
    assert all(torch.equal(a, b) for a, b in zip(out[:4], maps[:4], strict=True))
    assert_close(out[4], levels.attention(levels.aspp(maps[4])))


def test_classes_of_depth_images_carry_no_gradient_and_come_only_when_asked_for():
    torch.manual_seed(0)
    model = SGDepth(resolutions=1)
    images = {0: torch.rand(2, 3, 64, 64)}
    (without,) = model([images], ["depth"])
    (found,) = model([images], ["depth"], classify=True)
    assert without.ids is None
    assert found.ids.shape == (2, 64, 64) and found.ids.dtype == torch.int64
    found.disp[0].sum().backward()
    assert all(p.grad is None for p in model.seg.parameters())
    model.eval()
    with torch.no_grad():
        (again,) = model([images], ["depth"], classify=True)
        assert torch.equal(again.ids, model.segment(images[0]))
        np.testing.assert_array_equal(model.depth_branch()(images[0]), again.disp[0])
