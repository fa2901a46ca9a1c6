"""Options become the network they name."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch

import arguments
from errors import UserError
from models import build_model
from models.weights import sgdepth_shape


def test_the_published_defaults_reach_the_network():
    torch.manual_seed(0)
    model = build_model(arguments.parse("train", []))
    assert model.grad_scales == (0.9, 0.1)
    assert all(conv.bias.min() > 4.5 for conv in model.depth.multires.convs)
    assert sgdepth_shape(model.state_dict()) == {
        "model_num_layers": 18, "model_split_pos": 1, "model_depth_resolutions": 4, "model_num_layers_pose": 18,
        "model_num_classes": 20,
    }  # fmt: skip


def test_every_option_of_the_network_reaches_it():
    words = ("--model-num-layers 50 --model-num-layers-pose 34 --model-split-pos 3 --model-depth-resolutions 2 "
             "--model-num-classes 7 --train-depth-grad-scale 0.7 --train-segmentation-grad-scale 0.2").split()
    with torch.device("meta"):
        model = build_model(arguments.parse("train", words))
    assert model.grad_scales == (0.7, 0.2)
    assert sgdepth_shape(model.state_dict()) == {
        "model_num_layers": 50, "model_split_pos": 3, "model_depth_resolutions": 2, "model_num_layers_pose": 34,
        "model_num_classes": 7,
    }  # fmt: skip


def test_the_disparity_bias_reaches_every_output():
    torch.manual_seed(0)
    published = build_model(arguments.parse("train", []))
    torch.manual_seed(0)
    other = build_model(arguments.parse("train", ["--model-disparity-bias", "-2"]))
    for a, b in zip(published.depth.multires.convs, other.depth.multires.convs, strict=True):
        torch.testing.assert_close(a.bias - b.bias, torch.full_like(a.bias, 7.0))


def test_an_unknown_method_is_one_sentence():
    with pytest.raises(UserError, match="--method 'magic': unknown"):
        build_model(Namespace(method="magic"))
