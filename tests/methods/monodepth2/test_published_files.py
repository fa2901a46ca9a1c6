"""Published folders of Monodepth2: recognised by their keys, taken by every command, and as a start of training."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import arguments
from errors import UserError
from methods.monodepth2.keys import adopt
from models.monodepth2 import Monodepth2
from state_manager import find_network, needs_pretrained, settle_network
from storage.weights import read_state
from tests import commands
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("thin")

CPU = torch.device("cpu")
SIZE = (64, 96)  # of the network; no option's default
PARTS = ("encoder", "depth", "pose_encoder", "pose")


@pytest.fixture(scope="module")
def network() -> Monodepth2:
    torch.manual_seed(3)
    return Monodepth2(resolutions=2).eval()


def published(folder: Path, network: Monodepth2, parts: tuple[str, ...] = PARTS) -> Path:
    """A folder as Monodepth2 writes it: a file per part, unused classifiers, and the size of the input."""
    folder.mkdir(parents=True)
    state = network.state_dict()
    for part in parts:
        own: dict[str, Tensor | int | bool] = {
            key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")
        }
        if part.endswith("encoder"):
            own |= {"encoder.fc.weight": torch.zeros(1000, 512), "encoder.fc.bias": torch.zeros(1000)}
        if part == "encoder":
            own |= {"height": SIZE[0], "width": SIZE[1], "use_stereo": False}
        torch.save(own, folder / f"{part}.pth")
    return folder


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    return published(tmp_path_factory.mktemp("published") / "mono_96x64", network)


def said(network: torch.nn.Module) -> Tensor:
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.predict(image, ("depth",)).depth.values


@pytest.mark.parametrize("command", ["inference", "eval_depth", "eval_pose"])
def test_a_folder_tells_method_shape_and_size(folder, network, command, caplog):
    caplog.set_level(logging.INFO)
    words = ["--model-path", str(folder)] if command == "inference" else ["--model-load", str(folder)]
    args = arguments.parse(command, words)
    opener = find_network(args, "pose" if command == "eval_pose" else "depth")
    assert {*opener.files} == {*folder.glob("*.pth")}
    found = opener(CPU)
    assert torch.equal(said(found), said(network))
    assert (args.method, args.model_num_layers, args.model_depth_resolutions) == ("monodepth2", 18, 2)
    prefix = {"inference": "inference", "eval_depth": "depth_validation", "eval_pose": "pose_validation"}[command]
    assert (getattr(args, f"{prefix}_resize_height"), getattr(args, f"{prefix}_resize_width")) == SIZE
    assert "4 tensors that the network never uses are left out" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_is_said_counts_more_than_what_the_folder_tells(folder):
    args = arguments.parse("inference", ["--model-path", str(folder), "--inference-resize-height", "128"])
    find_network(args, "depth")
    assert (args.inference_resize_height, args.inference_resize_width) == (128, SIZE[1])
    wrong = arguments.parse("inference", ["--model-path", str(folder), "--model-num-layers", "50"])
    with pytest.raises(UserError, match="pass --model-num-layers 18$"):
        find_network(wrong, "depth")(CPU)
    other = arguments.parse("inference", ["--model-path", str(folder), "--method", "sgdepth"])
    with pytest.raises(UserError, match="no network of --method sgdepth; it looks like one of --method monodepth2$"):
        find_network(other, "depth")
    foreign = arguments.parse("inference", ["--model-path", str(folder), "--model-attention", "none"])
    with pytest.raises(UserError, match="--model-attention: an option of --method sgdem|no network of --method sgdem"):
        find_network(foreign, "depth")


def test_a_folder_without_motion_serves_depth_alone(network, tmp_path):
    folder = published(tmp_path / "mono", network, ("encoder", "depth"))
    assert torch.equal(
        said(find_network(arguments.parse("eval_depth", ["--model-load", str(folder)]), "depth")(CPU)), said(network)
    )
    with pytest.raises(UserError, match="mono: holds nothing for pose"):
        find_network(arguments.parse("eval_pose", ["--model-load", str(folder)]), "pose")
    (folder / "depth.pth").unlink()
    with pytest.raises(UserError, match="no method knows its keys"):
        find_network(arguments.parse("eval_depth", ["--model-load", str(folder)]), "depth")


def test_one_file_with_all_parts_is_taken_too(network, tmp_path):
    state = {part: {} for part in PARTS}
    for key, value in network.state_dict().items():
        part, _, name = key.partition(".")
        state[part][f"module.{name}"] = value
    torch.save(state | {"height": SIZE[0], "width": SIZE[1], "epoch": 3}, tmp_path / "ckpt.pth")
    args = arguments.parse("inference", ["--model-path", str(tmp_path / "ckpt.pth")])
    assert torch.equal(said(find_network(args, "depth")(CPU)), said(network))


@pytest.mark.parametrize("command", ["eval_depth", "inference"])
def test_who_was_taught_by_stereo_pairs_is_said_to_be_judged_without_medians(folder, tmp_path, command, caplog):
    shutil.copytree(folder, stereo := tmp_path / "stereo")
    encoder = torch.load(stereo / "encoder.pth")
    torch.save(encoder | {"use_stereo": True}, stereo / "encoder.pth")
    option = "--model-path" if command == "inference" else "--model-load"
    find_network(arguments.parse(command, [option, str(stereo)]), "depth")
    assert "stereo pairs" in caplog.text and "--depth-validation-fixed-scaling 5.4" in caplog.text
    if command == "eval_depth":
        caplog.clear()
        words = [option, str(stereo), "--depth-validation-fixed-scaling", "5.4"]
        find_network(arguments.parse(command, words), "depth")
        assert "stereo" not in caplog.text


def test_imagenet_weights_are_not_fetched_for_a_network_that_is_loaded(folder, network, tmp_path):
    words = ["--method", "monodepth2", "--checkpoint-dir", str(tmp_path), "--model-depth-resolutions", "2"]
    half = published(tmp_path / "half", network, ("encoder", "depth"))
    for load, fetched in (([], True), (["--model-load", str(folder)], False), (["--model-load", str(half)], True)):
        args = arguments.parse("train", [*words, *load])
        assert needs_pretrained(tmp_path, args, settle_network(tmp_path, args)) == fetched


def test_keys_of_others_are_not_adopted():
    assert adopt({}) is None and adopt({"common.encoder.encoder.conv1.weight": torch.zeros(1)}) is None


@pytest.fixture(scope="module")
def trained(folder, street, tmp_path_factory, run: Run) -> Path:
    """Folder of runs in which a training began from the published folder."""
    runs = tmp_path_factory.mktemp("runs")
    sizes = ["--depth-resize-height", SIZE[0], "--depth-resize-width", SIZE[1]]
    done = run(
        "train.py",
        "--method",
        "monodepth2",
        "--sys-cpu",
        "--sys-num-workers",
        0,
        "--dataset-dir",
        street,
        "--checkpoint-dir",
        runs,
        "--model-load",
        folder,
        "--model-name",
        "mono",
        "--train-num-epochs",
        1,
        "--train-batches-per-epoch",
        2,
        "--train-tb-frequency",
        1,
        "--depth-training-batch-size",
        2,
        "--depth-training-loaders",
        "kitti_zhou_train",
        "--depth-validation-loaders",
        "kitti_zhou_validation",
        "--depth-validation-resize-height",
        SIZE[0],
        "--depth-validation-resize-width",
        SIZE[1],
        *sizes,
    )
    assert done.returncode == 0, done.stderr
    assert "missing" not in done.stderr and "kitti_zhou_val_depth: abs_rel" in done.stdout
    return runs


def test_training_begins_from_a_published_folder(trained, network):
    run_folder = trained / "monodepth2/mono"
    state = torch.load(run_folder / "checkpoints/epoch_1/model.pth", weights_only=True)
    before = network.state_dict()
    assert state.keys() == before.keys()
    moved = (state["encoder.encoder.conv1.weight"] - before["encoder.encoder.conv1.weight"]).abs().max()
    assert 0 < moved < 1e-3  # two steps of Adam with a rate of 1e-4
    options = json.loads((run_folder / "opt.json").read_text())
    assert options["method"] == "monodepth2" and "segmentation_training_loaders" not in options


def test_every_command_takes_what_was_trained_and_what_was_published(trained, folder, street, tmp_path, run):
    own = trained / "monodepth2/mono/checkpoints/epoch_1"
    places = ["--sys-cpu", "--sys-num-workers", 0, "--dataset-dir", street, "--checkpoint-dir", tmp_path]
    for name, source in (("own", own), ("published", folder)):
        judged = run(
            "eval_depth.py",
            *places,
            "--model-load",
            source,
            "--model-name",
            name,
            "--depth-validation-loaders",
            "kitti_zhou_validation",
        )
        assert judged.returncode == 0, judged.stderr
        entry = json.loads((tmp_path / "monodepth2" / name / "metrics.json").read_text())["kitti_zhou_val_depth"]
        assert entry["protocol"]["size"] == list(SIZE) and 0 < entry["metrics"]["abs_rel"] < 10
    moved = run(
        "eval_pose.py",
        *places,
        "--model-load",
        folder,
        "--model-name",
        "pose",
        "--pose-validation-loaders",
        "kitti_odom09_validation",
    )
    assert moved.returncode == 0, moved.stderr
    refused = run("eval_segmentation.py", *places, "--model-load", folder, "--method", "monodepth2")
    assert "--method: 'monodepth2' is not one of" in commands.error_of(refused)
    image = next((street / "kitti").rglob("*.png"))
    done = run(
        "inference.py",
        "--sys-cpu",
        "--model-path",
        folder,
        "--image-path",
        image,
        "--output-path",
        tmp_path,
        "--save-arrays",
    )
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / f"{image.stem}_disp.npy").shape == SIZE
    assert not (tmp_path / f"{image.stem}_seg.npy").exists()


def test_a_single_file_of_a_published_folder_is_told(network, tmp_path):
    folder = published(tmp_path / "mono", network, ("encoder",))
    for source in (folder / "encoder.pth", folder):
        with pytest.raises(UserError) as told:
            find_network(arguments.parse("eval_depth", ["--model-load", str(source)]), "depth")
        assert "height, encoder.width" in str(told.value) or "height, width" in str(told.value)
        assert "encoder.pth" in str(told.value).partition(": ")[2] and "--method monodepth2" in str(told.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"height": 192, "width": 640}, "holds height, width, but no tensor"),
        ({"a": torch.zeros(2), "lr": None, "size": [1, 2]}, "holds lr, size, neither tensors nor numbers"),
        ([torch.zeros(2)], "holds no state dict"),
    ],
)
def test_what_is_no_state_dict_is_told_by_its_keys(tmp_path, content, told):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=f"a.pth: {told}"):
        read_state(tmp_path / "a.pth")
