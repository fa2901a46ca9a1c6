"""Predictions averaged with those of mirrored images."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.depth import evaluate_depth
from evaluation.mirroring import blended, with_mirror_image
from evaluation.protocols import DEPTH_PROTOCOLS
from perspective_resample.depth import DepthMap
from perspective_resample.input_view import InputView
from tests.evaluation.test_depth import make_batch, sparse_truth


def published(direct: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """`batch_post_process_disparity` of Monodepth2's evaluate_depth.py."""
    _, height, width = direct.shape
    mean = 0.5 * (direct + turned)
    across, _ = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    left = (1.0 - np.clip(20 * (across - 0.05), 0, 1))[None, ...]
    right = left[:, :, ::-1]
    return right * direct + left * turned + (1.0 - left - right) * mean


@pytest.mark.parametrize("width", [2, 31, 640])
def test_the_blend_is_the_published_one(width):
    direct, turned = (np.random.default_rng(seed).uniform(0.01, 10, (2, 5, width)) for seed in (0, 1))
    found = blended(torch.from_numpy(direct)[:, None], torch.from_numpy(turned)[:, None])[:, 0]
    np.testing.assert_allclose(found.numpy(), published(direct, turned), rtol=1e-12)
    if width > 2:
        assert torch.equal(found[..., 0], torch.from_numpy(turned[..., 0]))
        assert torch.equal(found[..., -1], torch.from_numpy(direct[..., -1]))


def test_both_predictions_come_of_the_image_they_are_of():
    def red(images: Tensor) -> SimpleNamespace:
        ramp = torch.linspace(0, 1, images.shape[-1])  # a network that sees more on the right
        return SimpleNamespace(depth=DepthMap(images[:, :1] + ramp, inverse=True, known="up to scale"))

    images = torch.rand(3, 3, 4, 40)
    found = with_mirror_image(red)(images).depth
    direct, turned = red(images).depth.values, red(images.flip(-1)).depth.values.flip(-1)
    torch.testing.assert_close(found.values, blended(direct, turned))
    assert (found.inverse, found.known) == (True, "up to scale") and found.values.dtype == torch.float32
    torch.testing.assert_close(with_mirror_image(red, blend=False)(images).depth.values, (direct + turned) / 2)


@pytest.mark.parametrize("view", [InputView(), InputView(resized=False, crop=(20, 40))])
def test_a_protocol_that_asks_for_it_gets_it_whatever_the_network_sees(view):
    seen = []

    def lopsided(images: Tensor) -> SimpleNamespace:
        seen.append(len(images))
        ramp = torch.linspace(0.1, 1, images.shape[-1]).expand(len(images), 1, images.shape[-2], -1)
        return SimpleNamespace(depth=DepthMap(ramp, inverse=True, known="up to scale"))

    protocol = replace(DEPTH_PROTOCOLS["kitti_kitti"], view=view)
    batches = [make_batch([sparse_truth(0), sparse_truth(1)])]
    plain = evaluate_depth(lopsided, batches, protocol)
    alone, seen[:] = [*seen], []
    both = evaluate_depth(lopsided, batches, replace(protocol, flip=True))
    assert seen == [2 * number for number in alone] and both.metrics != plain.metrics
    mean = evaluate_depth(lopsided, batches, replace(protocol, flip=True, blend=False))
    assert mean.metrics not in (plain.metrics, both.metrics)
