"""A step on three views, and a training from beginning to use."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import arguments
import methods
from dataloader.batch import Batch, to_device
from dataloader.catalog import find_loader
from dataloader.dataset import Key, TrainingSet
from dataloader.splits import resolve
from losses.depth import DepthLoss
from methods.video.training import VideoTraining
from methods.video.views import ViewsTraining
from models.monodepth2 import normalise
from perspective_resample.rearrange import permuted_back
from state_manager import find_network
from tests.reliability.test_bad_steps import Reads

pytestmark = pytest.mark.usefixtures("thin")

SIZE = ["--depth-resize-height", "64", "--depth-resize-width", "96"]
WORDS = ["--sys-cpu", "--train-weights-init", "scratch", *SIZE]


def built(*words: str) -> tuple[nn.Module, VideoTraining]:
    args = arguments.parse("train", [*WORDS, *words])
    torch.manual_seed(0)
    network = methods.building(args.method).network(args).train()
    training = methods.training(args.method).training(
        args, network, lambda name, **_: nn.Identity(), contextlib.nullcontext
    )
    return network, training


@pytest.fixture(scope="module")
def step() -> tuple[nn.Module, VideoTraining]:
    return built("--method", "bdedepth", "--model-backbone", "resnet")


@pytest.fixture(scope="module")
def batch(street) -> Batch:
    args = arguments.parse("train", ["--method", "bdedepth", *WORDS])
    spec = find_loader("depth", "kitti_zhou_train", training=True)
    data = TrainingSet(spec, resolve(spec, street), methods.building("bdedepth").items(args)["depth"])
    return to_device(data.__getitems__([Key(0, 0, 0), Key(0, 0, 1)]), "cpu")


def test_three_views_pass_the_depth_network_in_one_call(step, batch):
    network, training = step
    seen: list[Tensor] = []
    calls: list[int] = []
    hooks = [
        network.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0])),
        network.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0]))),
    ]
    (outcome,) = training.step(network, [batch], 0, 0)
    for hook in hooks:
        hook.remove()
    assert calls == [3]
    for image, view in zip(seen, (batch, batch.views["local"], batch.views["reshuffled"]), strict=True):
        assert torch.equal(image, normalise(view.inputs[0]))
    assert network.pose_encoder.encoder.bn1.num_batches_tracked.item() == 2  # motion of whole images alone
    parts = [outcome.terms[f"loss_depth/{name}"] for name in ("image", "local", "reshuffled")]
    torch.testing.assert_close(outcome.terms["loss_depth"], torch.stack(parts).mean())
    torch.testing.assert_close(outcome.total, outcome.terms["loss_depth"] + outcome.terms["loss_consistency"])
    names = [name for stage in outcome.numbers for name in stage]
    assert {"local image -1", "reshuffled jittered image 0", "local disparity 0", "motion 1"} <= {*names}
    assert {"images", "error", "automask", "local", "reshuffled"} == {*outcome.look.pictures()}
    (again,) = training.again(network, [batch], [outcome.found])
    assert again.total.item() == outcome.total.item()
    outcome.total.backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_images_loss_is_that_of_a_training_without_views(step, batch):
    network, training = step
    (outcome,) = training.step(network, [batch], 0, 0)
    _, plain = built("--method", "bdedepth", "--model-backbone", "resnet", "--no-local-crop", "--no-patch-reshuffle")
    assert not isinstance(plain, ViewsTraining)
    (alone,) = plain.step(network, [batch], 0, 0)
    torch.testing.assert_close(outcome.terms["loss_depth/image"], alone.total, rtol=1e-5, atol=1e-7)


def test_statistics_of_the_images_are_computed_once_for_two_disparities(step, batch, monkeypatch):
    network, training = step
    targets: list[int] = []
    plain = DepthLoss.forward
    monkeypatch.setattr(
        DepthLoss, "forward", lambda *words, **more: (targets.append(len(words[4][0])), plain(*words, **more))[1]
    )
    training.step(network, [batch], 0, 0)
    assert targets == [4, 2]  # disparities: of the images and of their permuted selves, of the windows


def test_a_step_never_waits_for_the_device(step, batch):
    network, training = step
    with Reads() as mode:
        training.step(network, [batch], 0, 0)
    assert not mode.found


@pytest.mark.parametrize("method", ["monodepth2", "bdedepth"])
def test_options_of_views_are_told_where_there_are_none(method, caplog):
    check = methods.building(method).check
    words = ["--method", method, "--consistency-weight", "0.1"]
    check(arguments.parse("train", [*words, "--local-crop"]))
    assert not caplog.records
    check(arguments.parse("train", [*words, "--no-local-crop", "--no-patch-reshuffle"]))
    assert "--consistency-weight: without effect unless --local-crop or --patch-reshuffle is given" in caplog.text


@pytest.mark.parametrize("words", [["--local-crop"], ["--patch-reshuffle"]])
def test_monodepth2_takes_the_views_too(batch, words):
    network, training = built("--method", "monodepth2", "--model-depth-resolutions", "2", *words)
    kept = "local" if words == ["--local-crop"] else "reshuffled"
    (outcome,) = training.step(network, [Batch(**vars(batch) | {"views": {kept: batch.views[kept]}})], 0, 0)
    parts = {name for name in outcome.terms if name.startswith("loss_depth/")}
    assert parts == {"loss_depth/image", f"loss_depth/{kept}"} and outcome.total.isfinite()


def test_an_outcome_shows_the_reshuffled_view_in_its_place(step, batch):
    network, training = step
    (outcome,) = training.step(network.eval(), [batch], 0, 0)
    view = batch.views["reshuffled"]
    with torch.no_grad():
        restored = permuted_back(network.outputs(view.inputs[0]).disp[0], view.place)
    torch.testing.assert_close(outcome.look.others["reshuffled"].prediction.disp[0], restored)
    network.train()


@pytest.fixture(scope="module")
def trained(street, tmp_path_factory, run) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    places = ["--dataset-dir", street, "--checkpoint-dir", runs, "--data-cache", runs / "cache"]
    epochs = ["--train-num-epochs", 1, "--train-batches-per-epoch", 2, "--train-tb-frequency", 1]
    loaders = ["--depth-training-batch-size", 2, "--depth-validation-loaders", "kitti_zhou_validation"]
    judged = ["--depth-validation-resize-height", 64, "--depth-validation-resize-width", 96]
    own = ["--method", "bdedepth", "--model-backbone", "resnet", "--model-name", "bde", "--jitter-per-image"]
    done = run("train.py", "--sys-num-workers", 0, *WORDS, *places, *epochs, *loaders, *judged, *own)
    assert done.returncode == 0, done.stderr
    assert "kitti_zhou_val_depth: abs_rel" in done.stdout
    return runs / "bdedepth" / "bde"


def test_a_training_writes_what_every_command_takes(trained):
    options = json.loads((trained / "opt.json").read_text())
    assert options["local_crop"] and options["patch_reshuffle"] and options["train_optimizer"] == "adamw"
    args = arguments.parse("inference", ["--model-path", str(trained / "checkpoints/epoch_1")])
    network = find_network(args, "depth")(torch.device("cpu"))
    assert (args.method, args.model_backbone, args.inference_resize_height) == ("bdedepth", "resnet", 64)
    with torch.no_grad():
        assert network.predict(torch.rand(1, 3, 64, 96)).depth.values.shape == (1, 1, 64, 96)


PUBLISHED = {  # samples, loader, GPUs, size, epochs, milestones, depth range
    "kitti": (39810, "kitti_zhou_train", 2, (192, 640), 20, (), 100),
    "cityscapes": (69731, "cityscapes_train", 1, (192, 512), 20, (), 100),
    "nyu": (21465, "nyu_v2_struct_train", 1, (288, 384), 50, (26, 36), 10),
}


@pytest.mark.parametrize("system", ["bdedepth_{}_hrnet18", "bdedepth_{}_resnet18", "monodepth2_{}_resnet18"])
@pytest.mark.parametrize("data", PUBLISHED)
def test_presets_are_the_published_recipes(system, data):
    samples, loader, gpus, size, epochs, milestones, farthest = PUBLISHED[data]
    args = arguments.parse("train", ["--config", f"presets/{system.format(data)}.toml"])
    assert system.startswith(args.method) and args.depth_training_loaders == (loader,)
    bdedepth = args.method == "bdedepth"
    assert args.train_batches_per_epoch == samples // (gpus if bdedepth else 1) // args.depth_training_batch_size
    assert (args.depth_resize_height, args.depth_resize_width) == size
    assert (args.depth_validation_resize_height, args.depth_validation_resize_width) == size
    assert (args.train_num_epochs, args.train_scheduler_milestones, args.model_depth_max) == (
        epochs,
        milestones,
        farthest,
    )
    assert (args.train_scheduler, args.train_scheduler_step_size) == ("multistep" if milestones else "step", 15)
    assert (args.local_crop, args.patch_reshuffle) == (bdedepth, bdedepth and data != "nyu")
    assert (args.train_optimizer, args.train_weight_decay) == (("adamw", 0.01) if bdedepth else ("adam", 0))
    assert args.train_learning_rate == 1e-4 and args.train_scheduler_gamma == 0.1
    assert args.model_depth_resolutions == (1 if bdedepth or data == "nyu" else 4)
    assert all(find_loader("depth", name) for name in args.depth_validation_loaders)
    if bdedepth:
        assert args.model_backbone == ("hrnet" if "hrnet" in system else "resnet")


def test_the_preset_of_the_street_is_of_this_method():
    args = arguments.parse("train", ["--config", "presets/bdedepth_street.toml"])
    assert args.method == "bdedepth" and args.local_crop and args.patch_reshuffle and args.model_backbone == "resnet"


@pytest.mark.parametrize("method", ["monodepth2", "bdedepth"])
def test_trajectories_are_judged_with_the_shorter_windows_at_their_ends(method):
    assert arguments.parse("eval_pose", ["--method", method]).pose_windows == "all"


@pytest.mark.parametrize(("words", "told"), [((), True), (("--train-weight-decay", "0.01"), False)])
def test_sgd_with_the_decay_of_the_recipe_for_adamw_is_told(words, told, caplog):
    args = arguments.parse("train", ["--method", "bdedepth", "--train-optimizer", "sgd", *words])
    methods.building("bdedepth").check(args)
    assert ("--train-weight-decay 0 leaves it out" in caplog.text) == told
