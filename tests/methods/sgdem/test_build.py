"""Options become the network they name."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch

import arguments
import methods
from methods.sgdem.keys import adopt

pytestmark = pytest.mark.usefixtures("thin")


def built(args: Namespace) -> torch.nn.Module:
    return methods.building(args.method).network(args)


def test_the_published_defaults_reach_the_network():
    torch.manual_seed(0)
    model = built(arguments.parse("train", ["--method", "sgdepth"]))
    assert model.grad_scales == (0.9, 0.1)
    assert all(conv.bias.min() > 4.5 for conv in model.depth.multires.convs)
    assert model.common.attended.attention is None
    assert adopt(model.state_dict()).options == {
        "model_num_layers": 18,
        "model_split_pos": 1,
        "model_depth_resolutions": 4,
        "model_num_layers_pose": 18,
        "model_num_classes": 20,
        "model_attention_gain": False,
        "model_aspp": False,
    }


def test_the_default_network_is_that_of_sgdem():
    with torch.device("meta"):
        model = built(arguments.parse("train", []))
    assert (model.common.attended.levels, model.common.attended.attention.strips) == ((4,), 4)
    assert adopt(model.state_dict()).options == {
        "model_num_layers": 50,
        "model_split_pos": 1,
        "model_depth_resolutions": 4,
        "model_num_layers_pose": 18,
        "model_num_classes": 20,
        "model_attention_gain": False,
        "model_aspp": False,
    }


@pytest.mark.parametrize(
    ("words", "attention", "levels", "strips"),
    [("", "bottleneck", (4,), 2), ("--model-attention released", "released", (1, 2, 3, 4), 1)],
)
def test_every_option_of_attention_reaches_the_network(words, attention, levels, strips):
    words = f"{words} --model-num-layers 18 --model-attention-strips 2 --model-attention-gain --model-aspp".split()
    with torch.device("meta"):
        model = built(arguments.parse("train", words))
    found = model.common.attended
    assert (found.levels, found.attention.strips) == (levels, strips) and found.aspp is not None
    assert isinstance(model.pose.attention, torch.nn.Identity) == (attention == "bottleneck")
    shape = adopt(model.state_dict()).options
    assert shape["model_attention_gain"] and shape["model_aspp"]


def test_every_option_of_the_network_reaches_it():
    words = (
        "--model-num-layers 50 --model-num-layers-pose 34 --model-split-pos 3 --model-depth-resolutions 2 "
        "--model-num-classes 7 --train-depth-grad-scale 0.7 --train-segmentation-grad-scale 0.2"
    ).split()
    with torch.device("meta"):
        model = built(arguments.parse("train", words))
    assert model.grad_scales == (0.7, 0.2)
    assert adopt(model.state_dict()).options == {
        "model_num_layers": 50,
        "model_split_pos": 3,
        "model_depth_resolutions": 2,
        "model_num_layers_pose": 34,
        "model_num_classes": 7,
        "model_attention_gain": False,
        "model_aspp": False,
    }


def test_the_disparity_bias_reaches_every_output():
    torch.manual_seed(0)
    published = built(arguments.parse("train", ["--method", "sgdepth"]))
    torch.manual_seed(0)
    other = built(arguments.parse("train", ["--method", "sgdepth", "--model-disparity-bias", "-2"]))
    for a, b in zip(published.depth.multires.convs, other.depth.multires.convs, strict=True):
        torch.testing.assert_close(a.bias - b.bias, torch.full_like(a.bias, 7.0))
