"""Steps of LapDepth: what is frozen, the gradient loss in its epochs, and its published file."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from torch import nn

import arguments
import methods
from engine.optimizer import build_optimizer
from losses.supervised import as_far_as, gradient_loss, rows_of_scans
from methods.lapdepth.keys import adopt
from methods.lapdepth.training import LapDepthTraining
from models.lapdepth import LapDepth
from state_manager import find_network
from tests.batches import measured_batch

pytestmark = pytest.mark.usefixtures("thin")

CPU = torch.device("cpu")


def options(*words: str) -> Namespace:
    small = ["--method", "lapdepth", "--sys-cpu", "--train-weights-init", "scratch"]
    return arguments.parse("train", [*small, "--depth-crop-height", "64", "--depth-crop-width", "64", *words])


@pytest.fixture(scope="module")
def network(thin) -> LapDepth:
    torch.manual_seed(0)
    return methods.building("lapdepth").network(options()).to(memory_format=torch.channels_last)


def training(network: LapDepth, *words: str) -> LapDepthTraining:
    build = methods.training("lapdepth").training
    return build(options(*words), network.train(), lambda name: nn.Identity(), contextlib.nullcontext)


def test_two_groups_learn_without_what_is_frozen(network):
    method = training(network)
    optimizer = build_optimizer(options(), method.groups)
    assert [(group["weight_decay"], group["eps"]) for group in optimizer.param_groups] == [(0.01, 1e-3), (0.0, 1e-3)]
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    learning = {id(p) for group in method.groups for p in group["params"]}
    assert learning == {id(p) for name, p in network.named_parameters() if name not in frozen}
    assert {"encoder.encoder.conv1.weight", "encoder.encoder.layer1.1.conv2.weight"} <= frozen
    assert "encoder.encoder.layer1.2.conv1.weight" not in frozen and not any(n.startswith("decoder") for n in frozen)
    norms = [n for n, m in network.encoder.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert all(f"encoder.{name}.weight" in frozen for name in norms)


@pytest.mark.parametrize("synchronised", [False, True])
def test_statistics_of_the_encoder_stay(network, synchronised):
    if synchronised:
        converted = nn.SyncBatchNorm.convert_sync_batchnorm(LapDepth()).train()
        kinds = [m for m in converted.encoder.modules() if isinstance(m, nn.SyncBatchNorm)]
        assert kinds and not any(m.training for m in kinds)
        assert all(m.training for m in converted.decoder.modules() if isinstance(m, nn.SyncBatchNorm))
        return
    before = {key: value.clone() for key, value in network.encoder.state_dict().items()}
    (outcome,) = training(network).step(network, [measured_batch()], 0, 0)
    outcome.total.backward()
    assert all(torch.equal(value, before[key]) for key, value in network.encoder.state_dict().items())
    assert network.decoder.decoder1[0].module[0].num_batches_tracked > 0


def test_gradients_of_dense_depth_count_in_their_epochs_and_come_again(network):
    method = training(network, "--depth-gradient-weight", "0.1", "--depth-gradient-from-epoch", "2")
    batch = measured_batch()
    assert [*method.step(network, [batch], 1, 5)[0].terms] == ["loss_depth"]
    (outcome,) = method.step(network, [batch], 2, 0)
    depth, dense = outcome.look.depth, as_far_as(batch.dense, batch.depth)
    expected = 0.1 * gradient_loss(depth, dense, rows_of_scans(batch.depth))
    torch.testing.assert_close(outcome.terms["loss_gradient"], expected)
    (again,) = method.again(network, [batch], [outcome.found])
    assert again.total.item() == outcome.total.item()


def test_images_without_dense_depth_are_left_out_and_a_batch_of_them_is_told(network, caplog):
    words = ("--depth-gradient-weight", "0.1", "--depth-gradient-from-epoch", "0")
    batch = measured_batch()
    half = batch.dense.clone()
    half[1] = 0
    method = training(network, *words)
    (outcome,) = method.step(network, [replace(batch, dense=half)], 0, 0)
    outcome.total.backward()
    assert outcome.terms["loss_gradient"] > 0 and "dense" not in caplog.text
    none = torch.zeros_like(half)
    (outcome,) = training(network, *words).step(network, [replace(batch, depth=none)], 0, 0)
    assert outcome.terms["loss_gradient"] == 0  # nothing says how far dense depth would reach
    method = training(network, *words)
    for number in range(2):
        (outcome,) = method.step(network, [replace(batch, dense=none, raw=replace(batch.raw, dense=none))], 0, number)
    assert outcome.terms["loss_gradient"] == 0
    assert caplog.text.count("the first images of kitti_zhou_train have no dense depth") == 1


def test_a_published_file_is_recognised_and_what_it_does_not_use_is_left_out(network, tmp_path):
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    extra = {"module.encoder.encoder.layer4.0.conv1.weight": torch.zeros(1)}
    torch.save(state | extra, tmp_path / "LDRN_KITTI_ResNext101_pretrained_data.pkl")
    args = arguments.parse("inference", ["--model-path", str(tmp_path), "--sys-cpu"])
    opened = find_network(args, "depth")(CPU)
    assert (args.method, args.model_norm) == ("lapdepth", "BN")
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(opened.depth(image), network.eval().depth(image))
    with torch.device("meta"):
        state = LapDepth(norm="GN").state_dict()
    assert adopt(state).options == {"model_norm": "GN"}
