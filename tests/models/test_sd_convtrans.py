"""SD-ConvTrans against the published code, and by its properties."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

from errors import UserError
from models.sd_convtrans import SDConvTrans
from models.sd_convtrans.diffusion import Diffusion, guided_difference
from models.sd_convtrans.network import smaller_picture
from models.sd_convtrans.transformer import MixTransformer, drop_path, load_transformer
from tests import golden
from tests.thin import thin_networks

FORWARD, BLOCK = "sdconvtrans_forward", "sdconvtrans_tbdn"


@pytest.fixture(scope="module")
def thin() -> SDConvTrans:
    torch.manual_seed(0)
    with thin_networks():
        return SDConvTrans(layers=18).eval()


@pytest.fixture(scope="module")
def transformer() -> MixTransformer:
    torch.manual_seed(0)
    return MixTransformer()


def test_state_dict_has_the_published_keys_and_shapes():
    meta, _ = golden.load(FORWARD)
    with torch.device("meta"):
        model = SDConvTrans()
    found = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert {key: shape for key, shape in found.items() if not key.endswith("num_batches_tracked")} == dict(meta["keys"])


def test_both_depths_and_what_they_are_made_of_match_the_published_network():
    meta, want = golden.load(FORWARD)
    with golden.unfilled():
        model = SDConvTrans(input_norm="none").eval()
    model.load_state_dict(golden.state_dict(meta["keys"], meta["scale"]), strict=False)
    small, large = (torch.from_numpy(golden.uniform(*given)) for given in ((41, 1, 3, 72, 96), (42, 1, 3, 96, 128)))
    seen = {}
    model.tbdn.register_forward_hook(lambda _, given, out: seen.update(U=given[0], V=given[1], Y=out))
    model.backbone.register_forward_hook(lambda _, given, out: seen.update(stages=out))
    with torch.no_grad():
        base, full = model(large, small)
    assert_close(base.numpy(), want["pred_l"], rtol=0, atol=1e-4)
    assert_close(full.numpy(), want["pred_h"], rtol=0, atol=1e-4)
    for number, (stage, step) in enumerate(zip(seen["stages"], (4, 8, 8, 8), strict=True), 1):
        assert_close(stage[:, ::step].numpy(), want[f"mit{number}"], rtol=0, atol=1e-3)
    for name, key in (("tbdn_U", "U"), ("tbdn_V", "V"), ("tbdn", "Y")):
        assert_close(seen[key][:, ::16].numpy(), want[name], rtol=0, atol=1e-3)


def test_the_diffusion_block_matches_the_published_one():
    meta, want = golden.load(BLOCK)
    block = Diffusion().eval()
    block.load_state_dict(golden.state_dict(meta["keys"], meta["scale"]), strict=False)
    U, V = (torch.from_numpy(2 * golden.uniform(*given) - 0.5) for given in ((51, 1, 128, 12, 16), (52, 1, 128, 9, 12)))
    U.requires_grad_()
    enlarged = nn.functional.interpolate(V, (12, 16), mode="bilinear", align_corners=True)
    found = block(U, V)
    found.sum().backward()
    difference = guided_difference(U, enlarged, block.conv_gg.weight)
    assert_close(difference[:, ::8].detach().numpy(), want["diff"], rtol=0, atol=1e-3)
    assert_close(found[:, ::16].detach().numpy(), want["Y"], rtol=0, atol=1e-3)
    golden.assert_close_to_max(U.grad[:, ::16].numpy(), want["grad_U"], 1e-4)


def test_of_a_depthwise_kernel_differences_count_in_proportion_to_those_of_the_guide():
    U, V = torch.rand(2, 1, 3, 5, 6, dtype=torch.float64)
    weights = torch.rand(3, 3, 3, dtype=torch.float64)
    kernel = torch.diag_embed(weights.permute(1, 2, 0)).permute(2, 3, 0, 1)  # (3, 3, 3, 3), no mixing
    steps = [[x[..., i : i + 3, j : j + 4] - x[..., 1:4, 1:5] for i in range(3) for j in range(3)] for x in (U, V)]
    shares = weights.flatten(1).T[..., None, None]
    expected = sum(share * own * guide for share, own, guide in zip(shares, *steps, strict=True))
    assert_close(guided_difference(U, V, kernel)[..., 1:4, 1:5], expected)


@pytest.mark.parametrize("size", [(6, 5), (4, 8)])
def test_a_guide_of_another_height_or_width_alone_is_resized(size):
    U, V = torch.rand(2, 8, 6, 8), torch.rand(2, 8, *size)
    assert Diffusion(8)(U, V).shape == (2, 16, 6, 8)


def test_a_trained_kernel_learns_and_a_random_one_is_another_in_every_pass():
    U, V = torch.rand(2, 2, 8, 6, 6)
    trained, random = Diffusion(8).eval(), Diffusion(8, "random").eval()
    assert torch.equal(trained(U, V), trained(U, V)) and not torch.equal(random(U, V), random(U, V))
    trained(U, V).sum().backward()
    random(U, V).sum().backward()
    assert trained.conv_gg.weight.grad.abs().sum() > 0 and random.conv_gg.weight.grad is None
    assert {*trained.state_dict()} == {*random.state_dict()}


def test_the_smaller_picture_is_pillows_of_the_same_bytes():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((48, 36), Image.Resampling.BILINEAR))
    found = smaller_picture(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    assert np.array_equal((found[0].permute(1, 2, 0) * 255).round().numpy(), expected)


def test_depth_is_that_of_the_smaller_picture_made_here(thin):
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        found = thin.predict(image)
        base, full = thin(image, smaller_picture(image))
    assert torch.equal(found.depth.values, 10 * full) and torch.equal(found.layers["base"].values, 10 * base)
    assert (found.depth.known, found.depth.inverse, found.layers["base"].known) == ("metres", False, "metres")
    assert full.shape[2:] == (16, 24) and base.shape[2:] == (12, 18)


@pytest.mark.parametrize("size", [(32, 32), (45, 70), (50, 33)])
def test_any_size_works(thin, size):
    with torch.no_grad():
        full = thin.predict(torch.rand(1, 3, *size)).depth.values
    assert full.shape[2:] == (-(-size[0] // 4), -(-size[1] // 4)) and bool(full.isfinite().all())


@pytest.mark.parametrize("left_out", [{"kernel": "none"}, {"with_transformer": False}])
def test_parts_can_be_left_out_for_comparison(left_out):
    with thin_networks():
        model = SDConvTrans(layers=18, **left_out).eval()
    part = "tbdn.conv_gg" if "kernel" in left_out else "backbone"
    assert not any(key.startswith((part, "aggs") if part == "backbone" else part) for key in model.state_dict())
    with torch.no_grad():
        assert model.predict(torch.rand(1, 3, 32, 32)).depth.values.shape == (1, 1, 8, 8)


def test_the_network_normalises_unless_told_not_to():
    image = torch.rand(1, 3, 32, 32)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with thin_networks():
        plain = SDConvTrans(layers=18, input_norm="none").eval()
        normal = SDConvTrans(layers=18).eval()
    normal.load_state_dict(plain.state_dict())
    small = smaller_picture(image)
    with torch.no_grad():
        assert_close(normal(image, small), plain((image - mean) / std, (small - mean) / std))


def test_samples_are_left_out_whole_and_the_others_weigh_more():
    torch.manual_seed(0)
    x = torch.ones(4000, 3, 2)
    found = drop_path(x, 0.25)
    kept = found[:, 0, 0] > 0
    assert_close(kept.double().mean().item(), 0.75, rtol=0, atol=0.03)
    assert_close(found[kept], torch.full_like(found[kept], 1 / 0.75)) and not found[~kept].any()


def test_stochastic_depth_grows_from_0_to_a_tenth_and_is_off_in_evaluation(transformer):
    rates = [block.drop for stage in range(1, 5) for block in transformer.get_submodule(f"block{stage}")]
    assert_close(rates, np.linspace(0, 0.1, 8).tolist())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(transformer.eval()(image)[3], transformer(image)[3])


def test_first_weights_are_as_published(transformer):
    weights = transformer.block3[0].mlp
    assert_close(weights.fc1.weight.std().item(), 0.02, rtol=0.05, atol=0)
    assert_close(weights.dwconv.dwconv.weight.std().item(), (2 / 9) ** 0.5, rtol=0.05, atol=0)
    assert not weights.fc2.bias.any()


@pytest.mark.parametrize("form", ["encoder", "backbone", "state_dict"])
def test_published_weights_of_the_transformer_are_found_in_every_form(form, tmp_path, transformer):
    state = {key: value + 1 for key, value in transformer.state_dict().items()}
    content = {**state, "head.weight": torch.ones(1000, 256)}
    if form == "backbone":
        content = {f"backbone.{key}": value for key, value in state.items()} | {"decode_head.bias": torch.ones(3)}
    torch.save({"state_dict": content} if form == "state_dict" else content, tmp_path / "mit_b0.pth")
    model = MixTransformer()
    load_transformer(model, tmp_path / "mit_b0.pth")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_what_weights_of_the_transformer_lack_is_told(tmp_path, transformer, caplog):
    state = dict(transformer.state_dict())
    del state["norm4.weight"]
    torch.save(state, tmp_path / "mit_b0.pth")
    with caplog.at_level(logging.WARNING):
        load_transformer(MixTransformer(), tmp_path / "mit_b0.pth")
    total = len(transformer.state_dict())
    assert f"1 of {total} tensors missing (first: norm4.weight); they keep their first values" in caplog.text


@pytest.mark.parametrize("fault", ["another network", "another size"])
def test_weights_of_another_transformer_are_refused(fault, tmp_path, transformer):
    state = {"conv1.weight": torch.ones(1)}
    if fault == "another size":
        state = {key: torch.ones(2, *value.shape) for key, value in transformer.state_dict().items()}
    torch.save(state, tmp_path / "mit.pth")
    with pytest.raises(UserError, match="mit.pth: no Mix Transformer B0"):
        load_transformer(MixTransformer(), tmp_path / "mit.pth")
