"""LapDepth against the published network, and by its properties."""

from __future__ import annotations

import numpy as np
import torch

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
