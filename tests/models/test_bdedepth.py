"""The BDEdepth network against the published one, and by its properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from errors import UserError
from models import hrnet
from models.bdedepth import BDEdepth
from models.bdedepth.decoder import GridDecoder
from models.monodepth2 import normalise
from tests import golden
from tests.models.test_monodepth2 import published, statistics

GOLDEN = {"resnet": ("bdedepth_resnet18_depth", 201), "hrnet": ("bdedepth_hrnet18_depth", 202)}
PARTS = {"encoder": 1836, "depth": 155}  # entries of the published HRNet


@pytest.fixture(scope="module", params=GOLDEN)
def backbone(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(backbone) -> BDEdepth:
    torch.manual_seed(0)
    return BDEdepth(backbone).eval()


def test_state_dict_has_the_published_keys_and_shapes(backbone, network):
    meta, _ = golden.load(GOLDEN[backbone][0])
    expected = {key: value.shape for key, value in published(meta).items()}
    own = {key: value.shape for key, value in network.state_dict().items() if not key.startswith("pose")}
    assert own == expected
    if backbone == "hrnet":
        assert {part: sum(key.startswith(f"{part}.") for key in own) for part in PARTS} == PARTS
        assert sum(p.numel() for p in network.encoder.encoder.parameters()) == 9_564_116 - 3 * 3 * 3 * 64 - 2 * 64
        assert sum(p.numel() for p in network.depth.parameters()) == 634_084


def test_maps_and_disparity_match_the_published_network(backbone, network):
    name, seed = GOLDEN[backbone]
    meta, want = golden.load(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(published(meta), strict=False)
    image = torch.from_numpy(golden.uniform(seed, 1, 3, 64, 160))
    with torch.no_grad():
        features = network.encoder(normalise(image))
        (outputs,) = network([{0: image}], ["depth"])
    for index, feature in enumerate(features):
        np.testing.assert_allclose(statistics(feature), want[f"feat{index}_stats"], rtol=1e-5, atol=1e-5)
        _, channels, height, width = feature.shape
        sample = feature[0, :: max(1, channels // 4), :: max(1, height // 3), :: max(1, width // 4)]
        np.testing.assert_allclose(sample, want[f"feat{index}_sample"], rtol=1e-5, atol=1e-5)
    assert [*outputs.disp] == [0] and not outputs.motion
    np.testing.assert_allclose(outputs.disp[0], want["disp0"], rtol=1e-5, atol=1e-5)
    network.load_state_dict(before)


def test_the_context_branch_begins_as_the_first_convolution(backbone, network):
    encoder = network.encoder
    branch = encoder.context_conv if backbone == "hrnet" else encoder.conv1
    norm = encoder.context_bn if backbone == "hrnet" else encoder.bn1
    assert (
        torch.equal(branch.weight, encoder.encoder.conv1.weight) and branch.weight is not encoder.encoder.conv1.weight
    )
    assert branch.stride == (1, 1) and torch.equal(norm.running_var, torch.ones(64))


@pytest.mark.parametrize("resolutions", [1, 2, 4])
def test_outputs_lie_after_the_columns_of_their_rows(resolutions):
    decoder = GridDecoder((4, 4, 6, 8, 10, 12), resolutions)
    heads = [place for place, module in enumerate(decoder.decoder) if hasattr(module, "conv")]
    assert heads == [6, 13, 20, 27][:resolutions] and len(decoder.decoder) == 33 + resolutions
    maps = [torch.rand(1, c, 64 >> i, 64 >> i) for i, c in enumerate((4, 4, 6, 8, 10, 12))]
    disp = decoder(maps)
    assert [*disp] == [*range(resolutions)]
    assert all(disp[r].shape == (1, 1, 64 >> r, 64 >> r) for r in disp)
    sum(d.sum() for d in disp.values()).backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_convolutions_of_the_decoder_begin_small():
    decoder = GridDecoder((64, 64, 64, 128, 256, 512), 1)
    convolutions = [module for module in decoder.modules() if isinstance(module, nn.Conv2d)]
    weights = torch.cat([module.weight.flatten() for module in convolutions])
    assert abs(weights.std().item() - 0.02) < 2e-4 and not any(module.bias.any() for module in convolutions)


def test_everything_learns_and_statistics_see_every_pass(network, backbone):
    network.train().zero_grad()
    frame = torch.rand(2, 3, 64, 64)
    counter = network.encoder.encoder.bn1.num_batches_tracked.zero_()
    original, view = network([{0: frame, -1: frame, 1: frame.flip(3)}, {0: frame}], ["depth", "depth"])
    assert counter.item() == 2 and sorted(original.motion) == [-1, 1] and not view.motion
    (original.disp[0].sum() + view.disp[0].sum() + sum(m.sum() for m in original.motion.values())).backward()
    assert all(p.grad is not None for p in network.parameters())
    network.eval()


def test_half_precision_stays_inside(network):
    frame = torch.rand(1, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert network.predict(frame).depth.values.dtype == torch.float32


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> tuple[Path, dict]:
    """A file of the classifier, with layers that the encoder does not have."""
    torch.manual_seed(5)
    state = hrnet.hrnet_w18().state_dict() | {"classifier.weight": torch.zeros(3, 4)}
    path = tmp_path_factory.mktemp("imagenet") / "HRNet_W18_C.pth.tar"
    torch.save(state, path)
    return path, state


def test_imagenet_weights_come_from_a_file_or_from_timm(weights, monkeypatch, tmp_path):
    path, state = weights
    one = hrnet.hrnet_w18(True, str(path))
    monkeypatch.setattr("timm.models.load_state_dict_from_hf", lambda name, weights_only: state)
    other = hrnet.hrnet_w18(True)
    for model in (one, other):
        assert torch.equal(model.conv1.weight, state["conv1.weight"])
    missing = {key: value for key, value in state.items() if not key.startswith("conv2")}
    torch.save(missing, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"less.pth: no HRNet-W18 \(1 of 1830 tensors missing \(first: conv2.weight\)"):
        hrnet.hrnet_w18(True, str(tmp_path / "less.pth"))


def test_weights_that_cannot_be_fetched_are_told_in_a_sentence(monkeypatch):
    def fail(*_, **__) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("timm.models.load_state_dict_from_hf", fail)
    with pytest.raises(UserError, match=r"cannot be fetched \(no route\); give HRNet_W18_C.*--model-backbone-weights"):
        hrnet.hrnet_w18(True)


def test_maps_are_enlarged_between_corners():
    with torch.device("meta"):
        network = hrnet.hrnet_w18()
    kinds = {(m.mode, m.align_corners) for m in network.modules() if isinstance(m, nn.Upsample)}
    assert kinds == {("bilinear", True)}


def test_use_asks_for_depth_alone(network):
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        depth = network.predict(image).depth
        assert_close(network.depth_branch()(image), network.outputs(image).disp[0], rtol=0, atol=0)
    assert depth.inverse and depth.known == "up to scale" and network.input_filter == "lanczos"
