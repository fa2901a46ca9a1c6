"""Published files of BDEdepth in every form: recognised by their keys, taken by every command, a start of training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import arguments
import methods
from errors import UserError
from methods.bdedepth.keys import adopt
from models.bdedepth import BDEdepth
from state_manager import find_network, needs_pretrained, settle_network
from tests.thin import thin_networks

pytestmark = pytest.mark.usefixtures("thin")

CPU = torch.device("cpu")
SIZE = (64, 96)  # of the network; no option's default
PARTS = ("encoder", "depth", "pose_encoder", "pose")


@pytest.fixture(scope="module")
def network() -> BDEdepth:
    torch.manual_seed(3)
    return BDEdepth("resnet", resolutions=2).eval()


def parts(network: nn.Module, prefix: str = "") -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for key, value in network.state_dict().items():
        part, _, name = key.partition(".")
        found[part][prefix + name] = value
    for part in ("encoder", "pose_encoder"):
        found[part] |= {
            f"{prefix}encoder.fc.weight": torch.zeros(1000, 512),
            f"{prefix}encoder.fc.bias": torch.zeros(9),
        }
    return found


def progress() -> dict[str, Any]:
    """What the published training keeps beside the network."""
    weight = torch.ones(2, 2, requires_grad=True)
    optimizer = torch.optim.AdamW([weight], 1e-4)
    weight.sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [15], 0.1)
    numbers = {"epoch": 3, "batch_idx": 17, "step_in_total": 400}
    return numbers | {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict()}


SHAPE = {"height": SIZE[0], "width": SIZE[1], "use_stereo": False}
FORMS: dict[str, Callable[[BDEdepth], dict[str, Any]]] = {
    "epoch weights": lambda network: parts(network) | SHAPE,
    "whole": lambda network: parts(network) | SHAPE | progress(),
    "bare": parts,
    "wrapped": lambda network: parts(network, "module.") | SHAPE,
    "flat": lambda network: {
        f"{part}.{key}": value for part, own in parts(network).items() for key, value in own.items()
    },
    "ours": lambda network: network.state_dict(),
}


def said(network: nn.Module) -> Tensor:
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network.predict(image, ("depth",)).depth.values


@pytest.mark.parametrize("form", FORMS)
def test_every_form_tells_method_shape_and_size(form, network, tmp_path, caplog):
    content = FORMS[form](network)
    torch.save(content, tmp_path / "ckpt.pth")
    path = tmp_path if form == "whole" else tmp_path / "ckpt.pth"  # the folder of a published run, or the file
    args = arguments.parse("inference", ["--model-path", str(path)])
    found = find_network(args, "depth")(CPU)
    assert torch.equal(said(found), said(network)) and found.input_filter == "lanczos"
    shape = (args.model_backbone, args.model_num_layers, args.model_num_layers_pose, args.model_depth_resolutions)
    assert (args.method, *shape) == ("bdedepth", "resnet", 18, 18, 2)
    size = SIZE if "height" in content else (192, 640)
    assert (args.inference_resize_height, args.inference_resize_width) == size
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("command", ["eval_depth", "eval_pose"])
def test_evaluation_takes_a_folder_of_parts(command, network, tmp_path):
    for part, state in parts(network).items():
        torch.save(state, tmp_path / f"{part}.pth")
    args = arguments.parse(command, ["--model-load", str(tmp_path)])
    assert torch.equal(said(find_network(args, "depth")(CPU)), said(network)) and args.method == "bdedepth"


def test_a_file_without_motion_serves_depth_alone(network, tmp_path):
    content = {part: state for part, state in parts(network).items() if not part.startswith("pose")}
    torch.save(content, tmp_path / "depth_only.pth")
    words = ["--model-load", str(tmp_path / "depth_only.pth")]
    assert torch.equal(said(find_network(arguments.parse("eval_depth", words), "depth")(CPU)), said(network))
    with pytest.raises(UserError, match="depth_only.pth: holds nothing for pose"):
        find_network(arguments.parse("eval_pose", words), "pose")


def test_two_files_in_a_folder_are_not_guessed_between(network, tmp_path):
    for name in ("a.pth", "b.pth"):
        torch.save(parts(network), tmp_path / name)
    with pytest.raises(UserError, match="model.pth"):
        find_network(arguments.parse("inference", ["--model-path", str(tmp_path)]), "depth")


@pytest.fixture(scope="module")
def hrnet(tmp_path_factory) -> tuple[BDEdepth, Path]:
    """HRNet, which is whole, with the size of NYUv2."""
    torch.manual_seed(4)
    with thin_networks(False):
        network = BDEdepth(pose_layers=50).eval()
    path = tmp_path_factory.mktemp("nyu") / "nyu.pth"
    torch.save(parts(network) | {"height": 288, "width": 384}, path)
    return network, path


@pytest.mark.usefixtures("whole_here")
def test_hrnet_and_the_depth_of_the_pose_network_come_from_the_keys(hrnet, caplog):
    network, path = hrnet
    args = arguments.parse("inference", ["--model-path", str(path)])
    assert torch.equal(said(find_network(args, "depth")(CPU)), said(network))
    assert (args.model_backbone, args.model_num_layers, args.model_num_layers_pose) == ("hrnet", 18, 50)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "nyu.pth: its input of 288x384 is that of NYUv2" in warning and "--model-depth-max 10" in warning


@pytest.mark.usefixtures("whole_here")
def test_the_depth_range_of_nyu_is_said(hrnet, caplog):
    network, path = hrnet
    args = arguments.parse("inference", ["--model-path", str(path), "--model-depth-max", "10"])
    found = find_network(args, "depth")(CPU)
    assert not caplog.records and found.depth_range == (0.1, 10.0)
    disp = (said(network) - 0.01) / (10 - 0.01)
    assert_close(said(found), 0.1 + (10 - 0.1) * disp, rtol=1e-5, atol=1e-6)


def test_training_begins_from_a_published_file(network, tmp_path):
    torch.save(FORMS["whole"](network), tmp_path / "ckpt.pth")
    words = ["--method", "bdedepth", "--checkpoint-dir", str(tmp_path), "--model-load", "ckpt.pth"]
    args = arguments.parse("train", words)
    stored = settle_network(tmp_path / "run", args)
    assert (args.model_backbone, args.model_depth_resolutions) == ("resnet", 2)
    assert not needs_pretrained(tmp_path / "run", args, stored)


def test_what_does_not_fit_is_told(network, tmp_path):
    torch.save(parts(network), tmp_path / "a.pth")
    words = ["--model-path", str(tmp_path / "a.pth")]
    with pytest.raises(UserError, match="pass --model-depth-resolutions 2 --model-backbone resnet$"):
        find_network(
            arguments.parse("inference", [*words, "--model-backbone", "hrnet", "--model-depth-resolutions", "1"]),
            "depth",
        )(CPU)
    with pytest.raises(UserError, match="looks like one of --method bdedepth$"):
        find_network(arguments.parse("inference", [*words, "--method", "monodepth2"]), "depth")
    layers = arguments.parse("inference", ["--method", "bdedepth", "--model-num-layers", "50", "--model-path", "x"])
    with pytest.raises(UserError, match="--model-num-layers 50: HRNet has its 18 alone"):
        methods.building("bdedepth").network(layers)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model-backbone", "resnet"], "weights of HRNet, and this is --model-backbone resnet"),
        (["--train-weights-init", "scratch"], "and --train-weights-init scratch: one is ImageNet"),
    ],
)
def test_weights_of_the_backbone_that_would_not_be_used_are_refused(words, said):
    args = arguments.parse("train", ["--method", "bdedepth", "--model-backbone-weights", "w.pth.tar", *words])
    with pytest.raises(UserError, match=f"--model-backbone-weights w.pth.tar.*{said}"):
        methods.building("bdedepth").check(args)


def test_keys_of_others_are_not_adopted():
    assert adopt({}) is None
    assert adopt({"encoder.encoder.conv1.weight": torch.zeros(1), "depth.decoder.0.1.weight": torch.zeros(1)}) is None
