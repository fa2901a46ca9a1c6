"""The networks of Spatial-KD against the published ones, and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoders import IMAGENET_MEAN, IMAGENET_STD
from models.spatial_kd import SpatialKD
from tests import golden

FILES = {"mobilenetv2": ("spatialkd_mobilenetv2", "student"), "resnext101": ("spatialkd_teacher_resnext101", "teacher")}
PARAMETERS = {"mobilenetv2": 3_903_584, "resnext101": 89_539_520, "resnet50": 26_305_216, "resnet18": 11_878_976}
FEATURES, MAPS = (8, 8, 8, 8, 16), (16, 8, 8, 8, 4)  # every so many channels are kept


def filled(name: str, part: str) -> tuple[dict, dict[str, Tensor], dict[str, np.ndarray]]:
    """Golden description, state under our keys, and what was computed."""
    meta, want = golden.load(name)
    state = golden.state_dict(meta["keys"], meta["scale"])
    return meta, {key.removeprefix(f"{part}."): value for key, value in state.items()}, want


def normalised(seed: int, *shape: int) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (torch.from_numpy(golden.uniform(seed, *shape)) - mean) / std


def close(found: Tensor, want: np.ndarray, step: int = 1, tolerance: float = 1e-4) -> None:
    golden.assert_close_to_max(found[:, ::step].detach().numpy(), want, tolerance)


def computed(network: SpatialKD, image: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Features, maps of the decoder and depth of a normalised image that goes straight into the encoder."""
    features = network.encoder(image)
    maps, _ = network.decoder(features, tuple(image.shape[-2:]))
    return features, maps, network.max_depth * network.decoder.output(maps[-1]).sigmoid()


@pytest.mark.parametrize("encoder", PARAMETERS)
def test_networks_have_the_published_size(encoder):
    with torch.device("meta"):
        network = SpatialKD(encoder)
    assert sum(p.numel() for p in network.encoder.parameters()) == PARAMETERS[encoder]
    assert sum(p.numel() for p in network.decoder.parameters()) == 5_443_504


@pytest.mark.parametrize("encoder", FILES)
def test_state_dicts_have_the_published_keys_and_shapes(encoder):
    meta, _ = golden.load(FILES[encoder][0])
    expected = {key.removeprefix(f"{FILES[encoder][1]}."): tuple(shape) for key, shape in meta["keys"]}
    with torch.device("meta"):
        state = SpatialKD(encoder).state_dict()
    own = {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert own.items() >= expected.items()
    assert {key for key in own if key not in expected} <= {key for key in own if key.startswith("decoder.")}


@pytest.mark.parametrize("encoder", FILES)
@torch.no_grad()
def test_features_maps_and_depth_match_the_published_network(encoder):
    meta, state, want = filled(*FILES[encoder])
    with golden.unfilled():
        network = SpatialKD(encoder, residuals=False).eval()
    network.load_state_dict(state, strict=False)
    image = normalised(meta["inputs"]["image"]["seed"], *meta["inputs"]["image"]["shape"])
    features, maps, depth = computed(network, image)
    for index, (feature, step) in enumerate(zip(features, FEATURES, strict=True)):
        close(feature, want[f"feat{index}"], step)
    for index, (found, step) in enumerate(zip(maps, MAPS, strict=True)):
        close(found, want[f"dec{index}"], step)
    close(depth, want["depth"])
    if encoder == "mobilenetv2":
        network.encoder.residuals = True
        features, maps, depth = computed(network, image)
        for found, name, step in (
            (features[1], "feat1", 16),
            (features[4], "feat4", 32),
            (maps[1], "dec1", 16),
            (depth, "depth", 1),
        ):
            close(found, want[f"full_{name}"], step)


@pytest.mark.parametrize("size", [(64, 96), (96, 160), (70, 101)])
def test_depth_is_metres_of_the_images_size_whatever_that_is(size, thin_here):
    network = SpatialKD("resnet18", norm="BN", max_depth=10.0).eval()
    with torch.no_grad():
        prediction = network.predict(torch.rand(2, 3, *size))
        assert network.predict(torch.rand(2, 3, *size), ("pose",)).depth is None
    depth = prediction.depth
    assert (depth.known, depth.inverse, depth.values.shape) == ("metres", False, (2, 1, *size))
    assert 0 < depth.values.min() <= depth.values.max() < 10
    assert (network.input_fit, network.size_divisor) == ("multiple", 32)
    assert network.views["nyu_v2"].box == (24, 472, 40, 616)


def test_predictions_of_zero_are_a_millimetre(thin_here):
    network = SpatialKD("resnet18").eval()
    torch.nn.init.constant_(network.decoder.decoder_5.module[2].weight, -1e6)
    torch.nn.init.constant_(network.decoder.decoder_5.module[0].bias, 1.0)
    with torch.no_grad():
        assert network.predict(torch.rand(1, 3, 64, 64)).depth.values.min().item() == pytest.approx(1e-3)


def test_backbones_begin_from_the_weights_of_torchvision(monkeypatch, thin_here):
    asked = []
    monkeypatch.setattr("models.encoders.obtain", lambda name, address, fetch: asked.append((name, address)))
    monkeypatch.setattr("models.encoders.read_state_dict", lambda path: {})
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
    for encoder in ("resnext101", "resnet18", "mobilenetv2"):
        SpatialKD(encoder, pretrained=True)
    assert [name for name, _ in asked] == [
        "ImageNet weights of ResNeXt-101 32x8d",
        "ImageNet weights of ResNet-18",
        "ImageNet weights of MobileNetV2",
    ]
    assert [address.rpartition("/")[2] for _, address in asked] == [
        "resnext101_32x8d-8ba56ff5.pth",
        "resnet18-f37072fd.pth",
        "mobilenet_v2-b0353104.pth",
    ]
