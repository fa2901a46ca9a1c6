"""Published pairs of Spatial-KD: recognised by their keys, taken by every command, a start of training, a teacher."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import arguments
import methods
from errors import UserError
from methods.spatial_kd.keys import adopt
from methods.stored import read_network
from models.spatial_kd import SpatialKD
from state_manager import find_network, needs_pretrained, settle_network, teacher_door

pytestmark = pytest.mark.usefixtures("thin")

CPU = torch.device("cpu")
ENCODER, DECODER = "ResNet18_encoder_pretrained_NYU.pkl", "decoder_pretrained_NYU.pkl"


def network(encoder: str = "resnet18", norm: str = "BN", **more: object) -> SpatialKD:
    torch.manual_seed(4)
    return SpatialKD(encoder, norm=norm, **more).eval().to(memory_format=torch.channels_last)


def publish(folder: Path, model: nn.Module, names: tuple[str, str] = (ENCODER, DECODER)) -> tuple[Path, Path]:
    """Both files as the released code writes them, with the prefix of its wrapper."""
    files: list[dict[str, Tensor]] = [{}, {}]
    for key, value in model.state_dict().items():
        own = key.startswith("decoder.")
        files[own][f"module.{key.removeprefix('decoder.')}"] = value
    folder.mkdir(exist_ok=True)
    for name, state in zip(names, files, strict=True):
        torch.save(state, folder / name)
    return folder / names[0], folder / names[1]


def said(model: nn.Module) -> Tensor:
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.predict(image, ("depth",)).depth.values


def parsed(command: str, *words: object) -> Namespace:
    return arguments.parse(command, [*map(str, words), "--sys-cpu"])


@pytest.mark.parametrize("form", ["pair", "folder"])
@pytest.mark.parametrize("command", ["inference", "eval_depth"])
def test_a_pair_is_recognised_by_its_keys(form, command, tmp_path, caplog):
    model = network(max_depth=10.0)
    encoder, decoder = publish(tmp_path / "pair", model)
    flag = "--model-path" if command == "inference" else "--model-load"
    source = [flag, encoder, "--model-decoder-path", decoder] if form == "pair" else [flag, encoder.parent]
    args = parsed(command, *source, "--model-depth-max", 10)
    opener = find_network(args, "depth")
    found = opener(CPU)
    assert opener.files == (encoder, decoder)
    assert (args.method, args.model_encoder, args.model_norm) == ("spatial_kd", "resnet18", "BN")
    assert torch.equal(said(found), said(model)) and "largest depth" not in caplog.text


def test_a_pair_does_not_tell_its_range_and_the_command_says_so(tmp_path, caplog):
    encoder, decoder = publish(tmp_path, network())
    args = parsed("inference", "--model-path", encoder, "--model-decoder-path", decoder)
    assert find_network(args, "depth")(CPU).max_depth == 80.0
    assert "does not tell its largest depth, which is that of --model-depth-max: 80 for KITTI, 10" in caplog.text


def test_files_are_found_below_the_folder_of_runs(tmp_path):
    publish(tmp_path / "pair", network())
    words = ["--checkpoint-dir", tmp_path, "--model-load", f"pair/{ENCODER}", "--model-decoder-path", f"pair/{DECODER}"]
    args = parsed("eval_depth", *words)
    assert find_network(args, "depth")(CPU).encoder.widths[0] == 64


def state_of(encoder: str, norm: str = "GN", published: bool = True) -> dict[str, Tensor]:
    with torch.device("meta"):
        state = SpatialKD(encoder, norm=norm).state_dict()
    return {key.removeprefix("decoder.") if published else key: value for key, value in state.items()}


@pytest.mark.parametrize("encoder", ["resnext101", "resnet50", "resnet18", "mobilenetv2"])
@pytest.mark.parametrize("norm", ["GN", "BN"])
def test_keys_tell_encoder_and_norm_and_published_mobilenets_lack_residuals(encoder, norm):
    found = adopt(state_of(encoder, norm) | {"encoder.encoder.classifier.1.weight": torch.zeros(1)})
    released = {"mobilenet_residuals": "released"} if encoder == "mobilenetv2" else {}
    assert found.options == {"model_encoder": encoder, "model_norm": norm, **released} and found.unused == 1
    assert found.state.keys() == state_of(encoder, norm, published=False).keys()
    ours = adopt(state_of(encoder, norm, published=False))
    assert ours.options == {"model_encoder": encoder, "model_norm": norm}


def test_one_file_of_two_is_told_what_is_missing(tmp_path):
    encoder, decoder = publish(tmp_path, network())
    for path, part in ((encoder, "encoder"), (decoder, "decoder")):
        with pytest.raises(UserError, match=f"looks like the {part} of a published pair of --method spatial_kd; give"):
            find_network(parsed("inference", "--method", "spatial_kd", "--model-path", path), "depth")
    with pytest.raises(UserError, match="both hold decoder_0_up.*so they are not encoder and decoder"):
        find_network(parsed("inference", "--model-path", decoder, "--model-decoder-path", decoder), "depth")
    with pytest.raises(UserError, match="a folder; --model-decoder-path goes with two files"):
        find_network(parsed("inference", "--model-path", tmp_path, "--model-decoder-path", decoder), "depth")
    with pytest.raises(UserError, match="nowhere.pkl: cannot be read"):
        find_network(parsed("inference", "--model-path", encoder, "--model-decoder-path", "nowhere.pkl"), "depth")


def test_training_begins_from_a_pair(tmp_path):
    model = network()
    encoder, decoder = publish(tmp_path, model)
    words = ["--model-load", encoder, "--model-decoder-path", decoder]
    args = parsed("train", "--method", "spatial_kd", "--checkpoint-dir", "/", *words)
    begun = settle_network(tmp_path / "run", args)
    assert (args.model_encoder, args.model_norm) == ("resnet18", "BN")
    assert not needs_pretrained(tmp_path / "run", args, begun)
    with pytest.raises(UserError, match="goes with the encoder, which --model-load names; give both"):
        settle_network(tmp_path / "run", parsed("train", "--method", "spatial_kd", "--checkpoint-dir", "/", *words[2:]))
    stored = read_network(encoder, decoder=decoder)
    assert {*stored.adopted("spatial_kd").state} == {*methods.building("spatial_kd").network(args).state_dict()}


@pytest.mark.parametrize("form", ["pair", "folder"])
def test_a_teacher_may_be_a_pair(form, tmp_path):
    model = network()
    encoder, decoder = publish(tmp_path / "teacher", model)
    words = ["--kd-teacher", "teacher"]
    if form == "pair":
        words = ["--kd-teacher", f"teacher/{ENCODER}", "--kd-teacher-decoder", str(decoder)]
    args = parsed("train", "--method", "spatial_kd", "--checkpoint-dir", tmp_path, *words)
    methods.building("spatial_kd").check(args)
    assert (args.model_norm, args.model_encoder) == ("BN", "mobilenetv2")
    found = teacher_door(args, CPU)(args.kd_teacher, args.kd_teacher_decoder)
    assert torch.equal(said(found), said(model)) and not any(p.requires_grad for p in found.parameters())


def test_a_teacher_that_does_not_serve_is_told_before_anything_is_built(tmp_path):
    publish(tmp_path / "teacher", network())
    check = methods.building("spatial_kd").check
    common = ["train", "--method", "spatial_kd", "--checkpoint-dir", tmp_path]
    with pytest.raises(UserError, match="--kd-teacher nowhere: neither there nor below"):
        check(parsed(*common, "--kd-teacher", "nowhere"))
    with pytest.raises(UserError, match="--model-norm GN: --kd-teacher teacher has BN, and its decoder is that of"):
        check(parsed(*common, "--kd-teacher", "teacher", "--model-norm", "GN"))
    with pytest.raises(UserError, match="the encoder of a published pair.*of the decoder by --kd-teacher-decoder"):
        check(parsed(*common, "--kd-teacher", f"teacher/{ENCODER}"))
    (tmp_path / "other").mkdir()
    torch.save({"decoder.ASPP.reduction1.weight": torch.zeros(1)}, tmp_path / "other" / "lap.pkl")
    with pytest.raises(UserError, match="--kd-teacher other: holds no network of --method spatial_kd, whose features"):
        check(parsed(*common, "--kd-teacher", "other"))
