"""Files in the form of the released code, and those of SegFormer, are opened as they are."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

import arguments
import inference
import state_manager
from errors import UserError
from methods import building
from methods.sd_convtrans.keys import KERNEL, adopt
from models.sd_convtrans import SDConvTrans

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture
def network() -> SDConvTrans:
    torch.manual_seed(0)
    model = SDConvTrans(layers=18, input_norm="none").eval()
    for weight in model.parameters():  # new ones say nearly the same everywhere
        if weight.ndim == 4:
            nn.init.xavier_normal_(weight)
    return model


def published(network: nn.Module, folder: Path, dead: bool = True, kernel: bool = True) -> Path:
    """A file as the released code writes it, from a network in DataParallel."""
    state = {f"module.{key}": value for key, value in network.state_dict().items() if kernel or key != KERNEL}
    if dead:
        state |= {
            "module.decode_head.linear_c4.proj.weight": torch.rand(8, 4),
            "module.tbdn.conv1.0.weight": torch.rand(3),
        }
    torch.save({"model": state, "epoch": 3}, folder / "i2d.pth")
    return folder / "i2d.pth"


def opened(path: Path, *words: str) -> nn.Module:
    args = arguments.parse("eval_depth", ["--model-load", str(path), "--checkpoint-dir", str(path.parent), *words])
    model = state_manager.find_network(args, "depth")(torch.device("cpu"))
    assert args.method == "sd_convtrans"
    return model


def said(network: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network.predict(torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64)).depth.values


def test_a_published_file_is_recognised_and_used_as_it_is(network, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = opened(published(network, tmp_path))
    assert_close(said(found), said(network))
    assert "2 tensors that the network never uses are left out" in caplog.text
    assert "input_norm" in caplog.text and "nothing says how its input is normalised" not in caplog.text


def test_of_a_file_that_may_be_ours_the_normalisation_is_doubted_unless_it_is_said(network, tmp_path, caplog):
    path = published(network, tmp_path, dead=False)
    assert_close(said(opened(path)), said(network))
    assert "nothing says how its input is normalised" in caplog.text
    caplog.clear()
    assert (said(opened(path, "--input-norm", "imagenet")) - said(network)).abs().max() > 0.01
    assert "nothing says" not in caplog.text


def test_a_file_without_a_kernel_gets_the_same_one_every_time(network, tmp_path, caplog):
    path = published(network, tmp_path, kernel=False)
    first, second = opened(path), opened(path)
    assert torch.equal(said(first), said(second))
    assert "has no kernel of the diffusion" in caplog.text
    bound = (9 * first.tbdn.conv_gg.weight.shape[0]) ** -0.5
    assert 0.9 * bound < first.tbdn.conv_gg.weight.abs().max() <= bound


@pytest.mark.parametrize(("kernel", "transformer"), [("none", True), ("trained", False)])
def test_keys_tell_which_parts_a_network_has(kernel, transformer):
    state = SDConvTrans(layers=18, kernel=kernel, with_transformer=transformer).state_dict()
    options = adopt(state).options
    assert options["diffusion_kernel"] == kernel and options["model_transformer"] == transformer
    assert options["model_num_layers"] == 18


def test_a_file_without_a_layer_is_told_what_it_lacks(network, tmp_path):
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("predict1.")}
    torch.save({"model": state}, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"2 of \d+ tensors missing \(first: predict1.0.weight"):
        opened(tmp_path / "part.pth")


@pytest.mark.parametrize("value", [1, torch.tensor(1.0), torch.ones(1)])
def test_names_alone_make_no_network(network, value):
    assert adopt(dict.fromkeys(network.state_dict(), value)) is None


def test_files_of_others_are_not_taken():
    assert adopt({"layer0.0.weight": torch.ones(1)}) is None and adopt({"encoder.conv1.weight": torch.ones(1)}) is None


def test_training_begins_with_the_weights_of_a_transformer(network, tmp_path, monkeypatch):
    state = network.backbone.state_dict()
    torch.save({f"backbone.{key}": value for key, value in state.items()}, tmp_path / "mit_b0.pth")
    monkeypatch.setattr("models.encoders.obtain", lambda *_, **__: None)
    monkeypatch.setattr("models.encoders.read_state_dict", lambda _: network_of_resnet)
    words = ["--method", "sd_convtrans", "--model-num-layers", "18"]
    args = arguments.parse("train", [*words, "--model-transformer-weights", str(tmp_path / "mit_b0.pth")])
    from torchvision.models import resnet18

    network_of_resnet = resnet18().state_dict()
    found = building("sd_convtrans").network(args, pretrained=True)
    assert all(torch.equal(value, state[key]) for key, value in found.backbone.state_dict().items())


def test_a_transformer_without_weights_is_told(monkeypatch, caplog):
    from torchvision.models import resnet18

    monkeypatch.setattr("models.encoders.obtain", lambda *_, **__: None)
    monkeypatch.setattr("models.encoders.read_state_dict", lambda _: resnet18().state_dict())
    args = arguments.parse("train", ["--method", "sd_convtrans", "--model-num-layers", "18"])
    with caplog.at_level(logging.INFO):
        building("sd_convtrans").network(args, pretrained=True)
        assert "the transformer begins with random weights" in caplog.text
        caplog.clear()
        building("sd_convtrans").network(args)
    assert not caplog.text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--no-model-transformer"], "and --no-model-transformer leaves the transformer out"),
        (["--train-weights-init", "scratch"], "one is trained, the other random"),
        (["--model-load", "other"], "both bring weights"),
    ],
)
def test_weights_that_would_not_be_used_are_refused(words, sentence):
    given = ["--method", "sd_convtrans", "--model-transformer-weights", "mit_b0.pth"]
    with pytest.raises(UserError, match=sentence):
        building("sd_convtrans").check(arguments.parse("train", [*given, *words]))


def test_inference_writes_depth_base_and_detail_of_one_image(network, tmp_path):
    path = published(network, tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "room.png")
    words = [
        "--model-path",
        str(path),
        "--image-path",
        str(tmp_path / "room.png"),
        "--output-path",
        str(tmp_path / "out"),
    ]
    size = ["--inference-resize-height", "64", "--inference-resize-width", "96"]
    assert inference.infer(arguments.parse("inference", [*words, *size, "--save-arrays", "--sys-cpu"])) == 0
    depth, base, detail = (np.load(tmp_path / "out" / f"room_{name}.npy") for name in ("depth", "base", "detail"))
    assert depth.shape == (70, 90) and np.array_equal(detail, depth - base)
    large = np.asarray(Image.fromarray(pixels).resize((96, 64), Image.Resampling.BILINEAR))
    small = np.asarray(Image.fromarray(large).resize((72, 48), Image.Resampling.BILINEAR))
    with torch.no_grad():
        both = network(*(torch.from_numpy(each.copy()).permute(2, 0, 1)[None].float() / 255 for each in (large, small)))
    for found, share in zip((base, depth), both, strict=True):
        expected = nn.functional.interpolate(10 * share, (70, 90), mode="bilinear")[0, 0]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_a_network_of_kitti_sees_images_in_their_own_shape_and_the_window_of_the_benchmark():
    model = SDConvTrans(layers=18, max_depth=80, sees="kitti")
    assert model.input_fit == "height" and model.views["kitti"].window((375, 1242)) == (slice(23, 375), slice(13, 1229))
    assert SDConvTrans(layers=18).input_fit == "squash"
