"""LapDepth against the published network, and by its properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from errors import UserError
from models.lapdepth import LapDepth, StandardisedConv2d, reconstructed
from tests import golden
from tests.models.test_spatial_kd import close, normalised

NAME = "spatialkd_lapdepth_bn"


def test_state_dict_has_the_published_keys_and_shapes():
    meta, _ = golden.load(NAME)
    with torch.device("meta"):
        network = LapDepth()
    own = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert {key: shape for key, shape in own.items() if not key.endswith("num_batches_tracked")} == dict(meta["keys"])
    assert sum(p.numel() for p in network.encoder.parameters()) == 57_996_608
    assert sum(p.numel() for p in network.decoder.parameters()) == 15_572_864


@torch.no_grad()
def test_taps_residuals_and_depth_match_the_published_network():
    meta, want = golden.load(NAME)
    with golden.unfilled():
        network = LapDepth(max_depth=meta["inputs"]["max_depth"]).eval()
    network.load_state_dict(golden.state_dict(meta["keys"], meta["scale"]), strict=False)
    image = normalised(meta["inputs"]["image"]["seed"], *meta["inputs"]["image"]["shape"])

    def metres(normal: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
        taps = network.encoder(normal)
        residuals = network.decoder(taps, normal)
        return taps, residuals, network.max_depth * reconstructed(residuals).sigmoid()

    taps, residuals, depth = metres(image)
    for index, (tap, step) in enumerate(zip(taps, (16, 32, 32, 32), strict=True)):
        close(tap, want[f"enc{index}"], step)
    for level, residual in zip((5, 4, 3, 2, 1), residuals, strict=True):
        close(network.max_depth * residual, want[f"lap{level}"])
    close(depth, want["depth"])
    turned = metres(image.flip(-1))[2].flip(-1)
    close((depth + turned) / 2, want["depth_flip_averaged"])


def test_filters_are_standardised_as_published():
    _, want = golden.load("spatialkd_lapdepth_losses")
    convolution = StandardisedConv2d(6, 5)
    convolution.load_state_dict({"weight": torch.from_numpy(golden.fill("ws.weight", (5, 6, 3, 3)))})
    found = convolution(torch.from_numpy(golden.uniform(603, 1, 6, 9, 11)))
    found.sum().backward()
    np.testing.assert_allclose(found.detach(), want["ws_out"], rtol=1e-5, atol=1e-5)
    golden.assert_close_to_max(convolution.weight.grad.numpy(), want["ws_grad"], 1e-4)


def test_filters_are_standardised_once_in_evaluation_as_long_as_weights_stay():
    convolution = StandardisedConv2d(6, 5).eval()
    with torch.no_grad():
        first = convolution.filters()
        assert convolution.filters() is first and not first.requires_grad
        convolution.weight.mul_(2).add_(1)
        assert convolution.filters() is not first
        convolution.load_state_dict({"weight": torch.randn(5, 6, 3, 3)})
        kept = convolution.filters()
        torch.testing.assert_close(kept.mean((1, 2, 3)), torch.zeros(5), rtol=0, atol=1e-6)
        torch.testing.assert_close(kept.flatten(1).std(1), torch.ones(5), rtol=1e-3, atol=0)
        assert convolution.double().filters().dtype == torch.float64
        assert convolution.train().filters() is not convolution.filters()
    assert convolution.eval().filters().requires_grad and list(convolution.state_dict()) == ["weight"]


@pytest.mark.parametrize("norm", ["BN", "GN"])
def test_depth_is_positive_metres_of_the_images_size(norm, thin_here):
    network = LapDepth(norm=norm, activation="ELU", max_depth=10.0).eval()
    with torch.no_grad():
        depth = network.predict(torch.rand(1, 3, 48, 80)).depth
        with pytest.raises(UserError, match="images of 48x90: LapDepth needs sides that are multiples of 16; crop"):
            network.predict(torch.rand(1, 3, 48, 90))
    assert (depth.known, depth.inverse, depth.values.shape) == ("metres", False, (1, 1, 48, 80))
    assert 0 < depth.values.min() <= depth.values.max() < 10 and network.size_divisor == 16
