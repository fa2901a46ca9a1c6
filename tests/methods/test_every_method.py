"""What holds for every method that is trained, whichever folder it lives in."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import arguments
import methods
import state_manager
from dataloader.batch import Batch
from dataloader.measured import Measured
from engine.optimizer import Schedule, build_optimizer, build_rule
from engine.run_state import RunState
from engine.updates import Updates
from errors import UserError
from evaluation.mirroring import with_mirror_image
from methods import METHODS
from models.prediction import Prediction
from models.teacher import OwnTeacher
from perspective_resample.depth import DepthMap
from tests.batches import measured_batch, street_batch
from tests.reliability.test_stops import assert_same_state
from visual.fit import network_input

pytestmark = pytest.mark.usefixtures("thin")

TRAINED = [name for name, method in METHODS.items() if method.trained]
CPU = torch.device("cpu")
SMALL = {"bdedepth": ["--model-backbone", "resnet"], "spatial_kd": ["--model-encoder", "resnet18"]}


def options(name: str) -> Namespace:
    """Of a tiny training; networks as small as the method has them."""
    words = ["--method", name, "--sys-cpu", "--train-weights-init", "scratch"]
    own = {option.name for option in arguments.options_of("train", name)}
    words += ["--model-num-layers", "18"] if "model_num_layers" in own else []
    kind = "resize" if "depth_resize_height" in own else "crop"
    words += [f"--depth-{kind}-height", "64", f"--depth-{kind}-width", "64"]
    words += SMALL.get(name, [])
    if "segmentation" in METHODS[name].tasks:
        words += ["--segmentation-crop-height", "64", "--segmentation-crop-width", "64"]
    return arguments.parse("train", words)


def batches_for(args: Namespace) -> list[Batch]:
    """One of every purpose, as the items of the method have it."""
    makers = methods.building(args.method).items(args)
    return [measured_batch() if isinstance(maker, Measured) else street_batch(use) for use, maker in makers.items()]


def no_teacher(name: str, **_: object) -> nn.Module:
    raise AssertionError(f"{name} was asked for before its epoch")


@pytest.fixture(params=TRAINED)
def trained(request) -> tuple[Namespace, nn.Module, methods.method.Training]:
    """Options, network and training of a method."""
    args = options(request.param)
    args.patch_distill = False  # its teacher is a file; tests of patches have it
    torch.manual_seed(0)
    network = methods.building(args.method).network(args).train().to(memory_format=torch.channels_last)
    return args, network, methods.training(args.method).training(args, network, no_teacher, contextlib.nullcontext)


@pytest.mark.parametrize("name", METHODS)
def test_runs_land_in_a_folder_of_their_method_unless_told_otherwise(name):
    for command in METHODS[name].options:
        first = "sgdepth_eccv_test" if name == "sgdepth" else name
        assert arguments.parse(command, ["--method", name]).experiment_class == first
        assert arguments.parse(command, ["--method", name, "--experiment-class", "mine"]).experiment_class == "mine"


def test_a_step_is_finite_and_changes_weights(trained):
    args, network, training = trained
    schedule = Schedule(build_optimizer(args, training.groups), build_rule(args))
    updates = Updates(schedule.optimizer, schedule, torch.amp.GradScaler("cpu", enabled=False))
    batches = batches_for(args)
    before = {name: value.clone() for name, value in network.named_parameters()}
    training.begin_epoch(0, 0)
    updates.begin_epoch(0)
    outcomes = training.step(network, batches, 0, 0)
    assert [outcome.name for outcome in outcomes] == [each.spec.domain for each in batches]
    for outcome in outcomes:
        assert outcome.raw in [each.raw for each in batches] and outcome.terms
        assert all(value.isfinite().all() for stage in outcome.numbers for value in stage.values())
        assert all(picture.ndim == 3 for picture in outcome.look.pictures().values())
        assert all(value.isfinite() for value in outcome.look.measures().values())
        assert isinstance(outcome.look.doubt(), str)
    errors = {"error", "automask"} if "pose" in METHODS[args.method].tasks else {"error"}
    for outcome, batch in zip(outcomes, batches, strict=True):
        assert batch.spec.purpose != "depth" or errors <= {*outcome.look.pictures()}
    assert updates(sum(outcome.total for outcome in outcomes), 0, 0)
    training.after_step(torch.tensor(0.0))
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {name.split(".")[0] for name in before}
    assert isinstance(training.end_epoch(0), dict)


def running(args: Namespace, seed: int) -> tuple[RunState, Callable[[], None]]:
    """A training from the weights of a seed, and what takes its next step."""
    torch.manual_seed(seed)
    network = methods.building(args.method).network(args).train().to(memory_format=torch.channels_last)
    training = methods.training(args.method).training(args, network, no_teacher, contextlib.nullcontext)
    schedule = Schedule(build_optimizer(args, training.groups), build_rule(args))
    updates = Updates(schedule.optimizer, schedule, torch.amp.GradScaler("cpu", enabled=False))
    state = RunState(network, schedule.optimizer, schedule, training.parts | updates.parts, args.method)
    batches = batches_for(args)

    def step() -> None:
        training.begin_epoch(state.epoch, state.batch)
        updates.begin_epoch(state.batch)
        outcomes = training.step(network, batches, state.epoch, state.batch)
        assert updates(sum(outcome.total for outcome in outcomes), state.epoch, state.batch)
        training.after_step(torch.tensor(0.0))
        state.batch, state.step = state.batch + 1, state.step + 1

    return state, step


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_goes_on_from_its_checkpoint_to_the_same_bit(name, tmp_path):
    args = options(name)
    args.patch_distill = False
    whole, step = running(args, seed=0)
    step()
    begun = whole.save(tmp_path / "begun")
    step()
    parts, step = running(args, seed=1)
    parts.model.load_state_dict(torch.load(begun / "model.pth", weights_only=True))
    parts.load_progress(begun, strict=True)
    step()
    assert_same_state(whole.save(tmp_path / "whole"), parts.save(tmp_path / "parts"))


def test_a_step_comes_again_as_it_was(trained):
    args, network, training = trained
    batches = batches_for(args)
    training.begin_epoch(0, 0)
    first = training.step(network, batches, 0, 0)
    second = training.again(network, batches, [outcome.found for outcome in first])
    assert [outcome.total.item() for outcome in first] == [outcome.total.item() for outcome in second]


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_leaves_depth_and_motion_their_levels(trained, half):
    args, network, _ = trained
    parts = (getattr(network, name, None) for name in ("decoder", "depth"))
    decoder = next((part for part in parts if isinstance(part, nn.Module)), network)
    for weight in decoder.parameters():  # new ones may be too small to tell pixels apart
        if weight.ndim == 4:
            nn.init.xavier_normal_(weight)
    first, second = torch.rand(2, 1, 3, 64, 96)
    with torch.no_grad(), torch.autocast("cpu", half):
        depth = network.eval().predict(first, ("depth",)).depth.values
        shift = network.predict_motion(first, second)[0, :3, 3] if "pose" in METHODS[args.method].tasks else None
    assert depth.dtype == torch.float32
    assert depth.unique().numel() > depth.numel() / 2  # some 200 where the last convolution runs in half precision
    if shift is not None:
        assert shift.dtype == torch.float32 and not torch.equal(shift, shift.to(half).float())


def test_the_network_says_what_its_tasks_ask_for(trained):
    args, network, _ = trained
    image, tasks = torch.rand(2, 3, 64, 96), METHODS[args.method].tasks
    with torch.no_grad():
        found = network.eval().predict(image, ("depth",))
        assert isinstance(found.depth, DepthMap) and found.depth.at((64, 96)).values.shape == (2, 1, 64, 96)
        assert found.logits is None and bool((found.depth.depth() > 0).all())
        if "segmentation" in tasks:
            logits = network.predict(image, ("segmentation",)).logits
            assert logits.shape[0] == 2 and logits.shape[2:] == (64, 96)
        if "pose" in tasks:
            assert network.predict_motion(image, image.flip(-1)).shape == (2, 4, 4)


def test_predictions_can_be_averaged_with_those_of_mirrored_images(trained):
    _, network, _ = trained
    image = torch.rand(2, 3, 64, 96)

    def predict(images: torch.Tensor) -> Prediction:
        return network.eval().predict(images, ("depth",))

    with torch.no_grad():
        found, direct = with_mirror_image(predict)(image).depth, predict(image).depth
        turned = predict(image.flip(-1)).depth.values.flip(-1)
    assert (found.inverse, found.known) == (direct.inverse, direct.known)
    middle = found.values.shape[-1] // 2
    torch.testing.assert_close(found.values[..., middle], (direct.values + turned)[..., middle] / 2)


def test_a_checkpoint_goes_round(trained, tmp_path):
    args, network, training = trained
    schedule = Schedule(build_optimizer(args, training.groups), build_rule(args))
    state = RunState(network, schedule.optimizer, schedule, training.parts, args.method, vars(args) | {"config": []})
    folder = state.save(tmp_path)
    given = arguments.parse("inference", ["--model-path", str(folder), "--sys-cpu"])
    assert given.method == args.method
    if "depth_resize_height" in args:
        assert (given.inference_resize_height, given.inference_resize_width) == (64, 64)  # as it was trained
    opened = state_manager.find_network(given, "depth")(CPU)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.eval().predict(image, ("depth",)).depth.values
        torch.testing.assert_close(opened.predict(image, ("depth",)).depth.values, expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_teaches_any_other_method_as_it_is_evaluated(trained, tmp_path):
    args, network, training = trained
    schedule = Schedule(build_optimizer(args, training.groups), build_rule(args))
    state = RunState(network, schedule.optimizer, schedule, training.parts, args.method, vars(args) | {"config": []})
    folder = state.save(tmp_path / "group" / "run")
    other = "sgdepth" if args.method == "monodepth2" else "monodepth2"
    given = arguments.parse("train", ["--method", other, "--checkpoint-dir", str(tmp_path)])
    door = state_manager.teacher_door(given, CPU)
    name = str(folder.relative_to(tmp_path))
    assert not isinstance(door(name), OwnTeacher)
    levels = np.random.default_rng(1).integers(0, 256, (75, 130, 3), dtype=np.uint8)
    rgb = torch.from_numpy(levels).permute(2, 0, 1)[None] / 255
    teacher = door(name, asked="images")
    found = teacher.train()(rgb)
    size = teacher.input_size(75, 130)
    assert size == (
        (64, 64)
        if getattr(network, "input_fit", "squash") == "squash"
        else (64 + 16 * (args.method == "lapdepth"), 128)
    )
    assert found.shape == (1, 75, 130) and found.dtype == torch.float32 and bool((found > 0).all())
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    assert teacher.identity["name"] == "/".join(folder.parts[-3:]) and len(teacher.identity["sha256"]) == 64
    pixels = network_input(levels, size, getattr(network, "input_filter", "bilinear"))
    with torch.no_grad():
        direct = network.eval().predict(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, ("depth",)).depth
    torch.testing.assert_close(found, direct.at((75, 130)).inverse_depth()[:, 0], rtol=2e-2, atol=1e-4)
    assert door(name, asked="patches")(rgb[..., :64, :64]).shape == (1, 64, 64)


@pytest.mark.parametrize("command", ["eval_depth", "eval_segmentation", "eval_pose", "inference"])
def test_a_file_without_notes_is_taken_or_refused_in_a_sentence_by_every_command(trained, tmp_path, command):
    args, network, _ = trained
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    flag = "--model-path" if command == "inference" else "--model-load"
    given = arguments.parse(command, [flag, str(tmp_path / "weights.pth"), "--sys-cpu"])
    task = {"eval_segmentation": "segmentation", "eval_pose": "pose"}.get(command, "depth")
    if command not in METHODS[args.method].options:
        with pytest.raises(UserError, match=f"a network of --method .*, which {command}.py does not take"):
            state_manager.find_network(given, task)
        return
    try:
        state_manager.find_network(given, task)
        assert given.method == args.method
    except UserError as error:  # SGDEM and SGDepth have the same keys
        assert "pass --method" in str(error)
        given = arguments.parse(command, [flag, str(tmp_path / "weights.pth"), "--method", args.method])
        state_manager.find_network(given, task)


@pytest.mark.parametrize("name", TRAINED)
def test_every_option_says_what_becomes_of_it(name):
    assert all(option.resume for option in arguments.options_of("train", name))


@pytest.mark.parametrize("name", METHODS)
def test_help_shows_its_own_flags_only(name):
    everything = {
        option.flag
        for other in METHODS
        for command in METHODS[other].options
        for option in arguments.options_of(command, other)
    }
    for command in METHODS[name].options:
        shown = set(arguments.build_parser(command, name).format_help().replace(",", " ").split())
        own = {flag for each in arguments.options_of(command, name) for flag in (each.flag, *each.also)}
        assert own <= shown and not (everything - own) & shown


def test_a_frozen_network_is_not_trained():
    frozen = [name for name, method in METHODS.items() if not method.trained]
    assert frozen and not any("train" in METHODS[name].options for name in frozen)
