"""Few kernels and no change of layout in a training step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.kernels import Kernels, kernels
from benchmarks.train_step import STEPS, TrainStep

pytestmark = pytest.mark.usefixtures("thin")
MOST = {"SGDepth, ResNet-18": 1540, "Monodepth2, ResNet-18": 1560, "BDEdepth, ResNet-18": 3800}
IMAGE, MOTION = 3, (6, 12)
"""Channels of what may change its layout: images come plane by plane, and the motion of a pair is a mean over a map of
a few numbers."""


@pytest.mark.parametrize("name", MOST)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_starts_few_kernels_and_only_images_change_their_layout(name, batch, street: Path):
    found = kernels(TrainStep(replace(STEPS[name], data=str(street), size=(64, 96), batch=batch)))
    assert found.started.total() <= MOST[name], found.started.most_common()
    assert {*found.changed} <= {IMAGE} and {*found.mixed} <= {*MOTION}, (found.changed, found.mixed)


def test_changes_of_layout_are_seen():
    x = torch.rand(2, 4, 3, 3)
    with Kernels() as found:
        torch.nn.functional.conv2d(x.contiguous(memory_format=torch.channels_last), torch.rand(1, 4, 1, 1))
        torch.nn.functional.conv2d(x, torch.rand(1, 4, 1, 1))
        x.view(2, 2, 2, 9)
    assert (found.changed, found.mixed) == ({4: 1}, {4: 1})
    assert found.started["aten::convolution"] == 2 and not any("view" in name for name in found.started)
