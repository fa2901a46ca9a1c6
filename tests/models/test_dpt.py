"""The network of DPT: published numbers, and the parts whose mistakes are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad

from errors import UserError
from models.dpt.files import OFFICIAL
from models.dpt.network import DPT
from models.dpt.same import SameConv2d, SameMaxPool2d, same_padding, standardised
from models.dpt.weights import UNUSED, network_of, our_name, variant_of
from models.teacher import Habits, Teacher, network_size
from tests import golden
from tests.models import dpt_file

assert_close = torch.testing.assert_close
ROUNDING = 1e-4  # of the maximum: the published numbers, in float32, are 6e-5 away from those in float64


@pytest.fixture(scope="module")
def published() -> tuple[DPT, dict, torch.Tensor]:
    """The filled hybrid, what the published code computed with it, and its input."""
    meta, want = golden.load("dpt_hybrid")
    network = network_of(golden.state_dict(meta["keys"]), "golden").eval()
    rgb = torch.from_numpy(golden.uniform(*map(int, re.findall(r"\d+", meta["inputs"]["x"])[:5])))
    return network, want, rgb


@torch.no_grad()
def test_features_and_position_embedding_match_the_published_code(published):
    network, want, rgb = published
    for number, found in enumerate(network.features((rgb - 0.5) / 0.5), 1):
        tolerance = 1e-5 if number < 3 else ROUNDING
        golden.assert_close_to_max(found.mean((2, 3)).numpy(), want[f"layer{number}_channel_mean"], tolerance)
        golden.assert_close_to_max(found[:, :4].numpy(), want[f"layer{number}_first4"], tolerance)
    position = network.backbone.position(rgb.shape[-2] // 16, rgb.shape[-1] // 16)
    golden.assert_close_to_max(position[0, :, :8].numpy(), want["pos_embed_first8"], 1e-6)


@torch.no_grad()
def test_output_matches_the_published_code(published):
    network, want, rgb = published
    golden.assert_close_to_max(network.raw((rgb - 0.5) / 0.5).numpy(), want["raw"], ROUNDING)


def test_teacher_and_its_metric_kin_match_the_published_code(published):
    network, want, rgb = published
    found = Teacher(network, Habits(), {}, native=True)(rgb)
    golden.assert_close_to_max(found.numpy(), want["inverse_depth"], ROUNDING)
    for name in ("kitti", "nyu"):
        entry = OFFICIAL[f"dpt-hybrid-{name}"]
        network.scale, network.shift = entry.scale, entry.shift
        found = Teacher(network, entry.habits, {}, native=True)(rgb)
        golden.assert_close_to_max(found.numpy(), 1 / want[f"depth_{name}"], ROUNDING)
    network.scale, network.shift = 1.0, 0.0


def test_a_teacher_leaves_no_traces(published):
    network, _, rgb = published
    teacher = Teacher(network, Habits(), {}, native=True).train()
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    before = teacher(rgb)
    assert before.dtype == torch.float32 and not before.is_inference()
    other = teacher(rgb[..., :32].contiguous())
    assert other.shape == (1, 64, 32)
    assert_close(teacher(rgb), before, rtol=0, atol=0)  # sizes do not get into each other's way


@pytest.mark.usefixtures("thin_here")
def test_half_precision_changes_little_and_answers_in_float32():
    keys = ((key, value.shape) for key, value in dpt_file.published_state().items())
    network = network_of(golden.state_dict(keys), "thin").eval()
    network.shift = 1e-4  # far below the steps of half precision at these values
    teacher, rgb = Teacher(network, Habits(), {}, native=True), torch.from_numpy(golden.uniform(7, 1, 3, 64, 96))
    exact = teacher(rgb)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = teacher(rgb)
    assert found.dtype == torch.float32 and found.min() == 1e-4
    positive = found[found > found.min()]
    assert positive.unique().numel() > positive.numel() / 2
    assert not torch.equal(found, exact) and np.corrcoef(found.numpy().ravel(), exact.numpy().ravel())[0, 1] > 0.9


def test_input_sizes_and_resizing_match_the_published_code():
    meta, want = golden.load("dpt_resize")
    for width, height, to_width, to_height, net_width, net_height in want["sizes"].tolist():
        assert network_size(height, width, (to_height, to_width)) == (net_height, net_width)
    seed, *shape = map(int, re.findall(r"\d+", meta["inputs"]["image"])[:4])
    image = torch.from_numpy(golden.uniform(seed, *shape)).permute(2, 0, 1)[None]
    seen = []

    def look(x):
        seen.append(x * 0.5 + 0.5)
        return x[:, 0]

    network = torch.nn.Module()
    network.forward = look
    Teacher(network, Habits(target=(64, 96)), {})(image)
    golden.assert_close_to_max(seen[0][0].permute(1, 2, 0).numpy(), want["resized"], 1e-5)


@pytest.mark.parametrize(
    "image, target, expected",
    [
        ((375, 1242), (384, 384), (384, 1280)),
        ((192, 640), (384, 384), (128, 384)),
        ((480, 640), (480, 640), (480, 640)),
        ((128, 128), (384, 384), (384, 384)),
        ((1216, 1936), (384, 384), (384, 608)),
        ((352, 1216), (352, 1216), (352, 1216)),
        ((20, 2000), (384, 384), (32, 384)),
    ],
)
def test_input_sizes(image, target, expected):
    assert network_size(*image, target) == expected
    assert all(type(side) is int for side in network_size(*map(np.int64, image), target))


def test_native_teachers_keep_the_size_of_patches_and_come_near_otherwise():
    teacher = Teacher(torch.nn.Identity(), Habits(), {}, native=True)
    assert [teacher.input_size(*size) for size in ((128, 192), (100, 10))] == [(128, 192), (96, 32)]
    teacher = Teacher(torch.nn.Identity(), Habits(multiple=14), {}, native=True)
    assert teacher.input_size(128, 128) == (126, 126)


def test_a_metric_answer_stays_above_nothing():
    network = torch.nn.Module()
    network.forward = lambda x: -x[:, 0].abs()
    assert (Teacher(network, Habits(metric=True), {}, native=True)(torch.rand(1, 3, 32, 32)) == 1e-8).all()


def test_a_relative_answer_stays_at_or_above_nothing_where_it_is_enlarged_over_an_edge():
    network = torch.nn.Module()
    network.forward = lambda x: (x[:, 0] > 0).float()
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1
    found = Teacher(network, Habits(target=(32, 32)), {})(image)
    assert found.min() == 0 and found.max() > 1  # bicubic: it overshoots where the network says 1


@pytest.mark.parametrize(("metric", "known"), [(True, "metres"), (False, "up to scale and shift")])
def test_teachers_predict_inverse_depth_like_any_network(metric, known):
    network = torch.nn.Module()
    network.forward = lambda x: x.mean(1) + 2
    teacher = Teacher(network, Habits(target=(64, 96), metric=metric, crop=(64, 96)), {"name": "one"})
    image = torch.rand(2, 3, 64, 96)
    depth = teacher.predict(image, ("depth",)).depth
    assert torch.equal(depth.values[:, 0], teacher(image)) and depth.inverse and depth.known == known
    nothing = teacher.predict(image, ("segmentation",))
    assert nothing.depth is None and nothing.logits is None


def test_a_wrong_shape_and_an_unfit_size_are_told(published):
    with pytest.raises(ValueError, match="teacher: rgb"):
        Teacher(published[0], Habits(), {})(torch.rand(3, 32, 32))
    with pytest.raises(ValueError, match="48 x 64 is not a multiple of 32"):
        published[0](torch.rand(1, 3, 48, 64))


@pytest.mark.parametrize("variant", ["hybrid", "large"])
def test_every_published_key_has_its_place(variant):
    meta, _ = golden.load("dpt_state_dict_keys")
    with torch.device("meta"):
        network = DPT(variant)
        state = {key: torch.empty(shape) for key, shape in meta[f"dpt_{variant}"]}
    assert variant_of(state, "file") == variant and len(state) == 368
    own = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert own == {our_name(key): tuple(value.shape) for key, value in state.items() if not UNUSED.match(key)}


@pytest.mark.parametrize(
    "keys, fault",
    [
        (["pretrained.model.blocks.0.attn.relative_position_index"], "hf:<id>"),
        (["pretrained.model.pos_embed", "scratch.refinenet1.resConfUnit1.bn1.weight"], "segmentation"),
        (["conv.weight"], "not a weight file of DPT"),
        (["pretrained.model.pos_embed"], "not a weight file of DPT"),  # the base size, for which there are no weights
    ],
)
def test_other_networks_are_refused(keys, fault):
    with pytest.raises(UserError, match=rf"^some.pt: .*{fault}"):
        variant_of(dict.fromkeys(keys, torch.zeros(1, 577, 768)), "some.pt")


@pytest.mark.parametrize(
    "length, kernel, stride, expected",
    [(8, 3, 2, (0, 1)), (9, 3, 2, (1, 1)), (8, 7, 2, (2, 3)), (8, 1, 2, (0, 0)), (8, 3, 1, (1, 1)), (2, 3, 2, (0, 1))],
)
def test_same_padding(length, kernel, stride, expected):
    assert same_padding(length, kernel, stride) == expected


@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (7, 2), (1, 2)])
def test_same_convolution_is_one_of_the_padded_image(kernel, stride):
    torch.manual_seed(0)
    layer = SameConv2d(2, 3, kernel, stride)
    x = torch.rand(1, 2, 10, 13)
    (top, bottom), (left, right) = (same_padding(length, kernel, stride) for length in x.shape[-2:])
    expected = conv2d(pad(x, (left, right, top, bottom)), layer.weight, stride=stride)
    assert_close(layer(x), expected)
    assert expected.shape[-2:] == (-(-10 // stride), -(-13 // stride))


def test_same_pool_never_takes_its_padding():
    x = -torch.rand(1, 2, 8, 9)
    found = SameMaxPool2d()(x)
    assert found.shape == (1, 2, 4, 5) and torch.isfinite(found).all()
    assert_close(found[..., 1:-1, 1:-1], max_pool2d(pad(x, (1, 1, 0, 1), value=-9.0), 3, 2)[..., 1:-1, 1:-1])


def test_standardised_weights_are_those_of_the_old_formula():
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 5, 5) * 1e-4 + 2  # so small that it shows what is added to the deviation
    found = standardised(weight)
    for given, got in zip(weight.numpy().astype(np.float64), found.numpy(), strict=True):
        np.testing.assert_allclose(got, (given - given.mean()) / (given.std() + 1e-5), rtol=2e-3, atol=1e-3)
    modern = (weight - weight.mean((1, 2, 3), True)) / (weight.var((1, 2, 3), correction=0, keepdim=True) + 1e-8).sqrt()
    assert (found - modern).abs().max() > 0.1


def test_positions_are_interpolated_and_remembered():
    with torch.device("meta"):
        network = DPT("hybrid")
    backbone = network.backbone
    learned = torch.randn(1, 577, 768)
    backbone.vit.pos_embed = torch.nn.Parameter(learned)
    assert_close(backbone.position(24, 24), learned)
    grid = interpolate(learned[:, 1:].reshape(1, 24, 24, 768).permute(0, 3, 1, 2), (8, 12), mode="bilinear")
    assert_close(backbone.position(8, 12)[0, 1 + 12], grid[0, :, 1, 0])
    assert backbone.position(8, 12) is backbone.position(8, 12)
    assert backbone.position(4, 4).shape == (1, 17, 768)
