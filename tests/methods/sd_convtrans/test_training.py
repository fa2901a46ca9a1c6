"""What SD-ConvTrans is compared with, and how it learns."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import arguments
import methods
from dataloader.batch import Batch, to_device
from methods.sd_convtrans.targets import cell_means, resized_where, targets
from methods.sd_convtrans.training import SDConvTransTraining
from models.sd_convtrans import SDConvTrans
from tests.batches import measured_batch
from tests.reliability.test_stops import assert_same_state

pytestmark = pytest.mark.usefixtures("thin")
SIZES = ((12, 12), (16, 16))


def options(*words: str) -> Namespace:
    size = ["--depth-resize-height", "64", "--depth-resize-width", "64", "--model-num-layers", "18"]
    return arguments.parse("train", ["--method", "sd_convtrans", "--sys-cpu", *size, *words])


def prepared(*words: str) -> tuple[SDConvTrans, SDConvTransTraining]:
    args = options(*words)
    torch.manual_seed(0)
    network = methods.building(args.method).network(args).train()
    return network, methods.training(args.method).training(args, network, None, contextlib.nullcontext)


def changed(batch: Batch, **fields: object) -> Batch:
    return to_device(replace(batch.raw, **fields), "cpu")


def of_nyu(batch: Batch) -> Batch:
    return replace(batch, spec=replace(batch.spec, dataset="nyu_v2"))


def test_dense_targets_are_pillows_resizing_of_floats():
    batch = of_nyu(measured_batch())
    base, full = targets(batch, 80.0, *SIZES)
    for target, maps, size in ((base, batch.base, 12), (full, batch.dense, 16)):
        expected = Image.fromarray(maps[0, 0].numpy()).resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(80 * target.share[0, 0], np.asarray(expected), rtol=1e-5, atol=1e-4)
        assert bool(target.dense.all())


def test_beyond_the_largest_depth_the_target_is_the_largest():
    _, full = targets(of_nyu(measured_batch()), 10.0, *SIZES)
    assert full.share.max() == 1 and full.share.min() > 0


def test_of_kitti_rows_above_the_first_measurement_do_not_count():
    batch = measured_batch()
    depth = batch.depth.clone()
    depth[0, :, :32] = 0
    _, full = targets(replace(batch, depth=depth), 80.0, *SIZES)
    assert not full.share[0, 0, :8].any() and bool((full.share[0, 0, 9:] > 0).all()) and bool((full.share[1] > 0).any())
    _, full = targets(of_nyu(replace(batch, depth=depth)), 80.0, *SIZES)
    assert bool((full.share > 0).all())


def test_samples_without_filled_depth_have_means_of_cells():
    batch = of_nyu(measured_batch())
    dense = batch.dense.clone()
    dense[1] = 0
    base, full = targets(replace(batch, dense=dense), 80.0, *SIZES)
    assert full.dense.tolist() == [True, False] and base.dense.tolist() == [True, True]
    cells = batch.depth[1, 0].unfold(0, 4, 4).unfold(1, 4, 4).flatten(2)
    expected = cells.sum(2) / (cells > 0).sum(2).clamp_min(1)
    assert_close(80 * full.share[1, 0], expected, rtol=1e-5, atol=1e-5)
    base, full = targets(replace(batch, dense=None, base=None), 80.0, *SIZES)
    assert not full.dense.any() and not base.dense.any() and base.share.shape == (2, 1, 12, 12)


def test_cells_without_measurements_have_no_target():
    depth = torch.zeros(1, 1, 8, 8)
    depth[..., 0, 0] = 3
    assert cell_means(depth, (2, 2)).flatten().tolist() == [3, 0, 0, 0]


def test_gaps_do_not_bleed_into_what_is_around_them():
    depth = torch.full((1, 1, 16, 16), 5.0)
    known = torch.ones_like(depth, dtype=torch.bool)
    known[..., :3] = False
    found = resized_where(depth * known, known, (4, 4))
    assert not found[..., 0].any() and bool((found[..., 2:] > 0).all())
    assert_close(found[found > 0], torch.full_like(found[found > 0], 5))


def test_biases_learn_twice_as_fast():
    network, training = prepared("--train-learning-rate", "3e-4")
    weights, biases = training.groups
    assert "lr" not in weights and biases["lr"] == 6e-4
    names = {id(value): name for name, value in network.named_parameters()}
    assert all(names[id(value)].endswith("bias") for value in biases["params"])
    assert len(weights["params"]) + len(biases["params"]) == len(names)


def test_a_kernel_that_is_drawn_is_not_in_the_optimiser():
    network, training = prepared("--diffusion-kernel", "random")
    learning = {id(value) for group in training.groups for value in group["params"]}
    assert id(network.tbdn.conv_gg.weight) not in learning


def test_slopes_and_normals_join_when_their_epoch_comes():
    network, training = prepared("--supervised-gradient-from-epoch", "1", "--supervised-normal-from-epoch", "2")
    terms = [[*training.step(network, [measured_batch()], epoch, 0)[0].terms] for epoch in range(3)]
    assert terms[0] == ["loss_depth", "loss_base_depth"]
    assert terms[1] == ["loss_depth", "loss_gradient", "loss_base_depth", "loss_base_gradient"]
    assert len(terms[2]) == 6


def test_a_step_with_drawn_kernels_and_left_out_blocks_comes_again():
    network, training = prepared("--diffusion-kernel", "random")
    batches = [measured_batch()]
    first = training.step(network, batches, 0, 0)
    state = torch.get_rng_state()
    second = training.again(network, batches, [outcome.found for outcome in first])
    third = training.step(network, batches, 0, 1)
    assert first[0].total.item() == second[0].total.item() != third[0].total.item()
    assert not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)
    assert training.step(network, batches, 0, 1)[0].total.item() == third[0].total.item()


def test_several_data_sets_pass_the_network_in_one_call():
    network, training = prepared()
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    batches = [measured_batch(), replace(measured_batch(seed=3), spec=replace(measured_batch().spec, domain="other"))]
    outcomes = training.step(network, batches, 0, 0)
    assert len(calls) == 1 and [outcome.name for outcome in outcomes] == [batch.spec.domain for batch in batches]


def test_what_data_lack_is_told_once(caplog):
    network, training = prepared()
    batch = measured_batch()
    with caplog.at_level(logging.WARNING):
        training.step(network, [batch], 0, 0)
        assert not caplog.text
        for _ in range(2):
            training.step(network, [changed(batch, base=torch.zeros_like(batch.base))], 0, 0)
    assert caplog.text.count("samples without base of the depth") == 1
    assert "python -m dataloader.prepare fill kitti_zhou_train" in caplog.text


def test_a_run_that_is_killed_goes_on_to_the_same_bit(street, tmp_path, run, warm):
    """Also what is left out at random inside the transformer."""
    words = ["--config", "presets/sd_convtrans_street.toml", "--sys-cpu", "--sys-num-workers", "0"]
    words += ["--dataset-dir", str(street), "--checkpoint-dir", str(tmp_path), "--depth-validation-loaders", ""]
    words += ["--train-batches-per-epoch", "2", "--depth-training-batch-size", "2", "--train-checkpoint-frequency", "1"]
    words += ["--depth-resize-height", "64", "--depth-resize-width", "64", "--train-precision", "fp32"]
    words += ["--train-num-epochs", "2", "--resume", "auto"]
    victim = warm("train.py", *words, "--model-name", "parts")
    victim.until("saved")
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    for name in ("whole", "parts"):
        done = run("train.py", *words, "--model-name", name)
        assert done.returncode == 0, done.stderr
    assert_same_state(*(next(tmp_path.glob(f"*/{name}/checkpoints/epoch_2")) for name in ("whole", "parts")))


@pytest.mark.parametrize("kind", ["hu2019", "released"])
def test_other_losses_can_be_chosen(kind):
    network, training = prepared("--supervised-loss", kind)
    (outcome,) = training.step(network, [measured_batch()], 0, 0)
    assert training.loss.kind == kind and bool(outcome.total.isfinite())


@pytest.mark.parametrize("name", ["sd_convtrans_nyu", "sd_convtrans_kitti", "sd_convtrans_street"])
def test_presets_are_sound(name):
    args = arguments.parse("train", ["--config", f"presets/{name}.toml"])
    assert args.method == "sd_convtrans" and args.train_scheduler == "exponential"
    methods.building(args.method).check(args)
    maker = methods.building(args.method).items(args)["depth"]
    assert maker.depth_max == args.model_depth_max and maker.dense_max == math.inf  # targets are cut off later
    assert (
        maker.low == 0.75
        and maker.dense
        and maker.base
        and maker.resize == (args.depth_resize_height, args.depth_resize_width)
    )
    assert maker.colours.swap == 0 and maker.rotation == 0
