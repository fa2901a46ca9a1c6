"""The height of a camera above the ground that its depth shows."""

from __future__ import annotations

import numpy as np
import pytest

from perspective_resample.ground import fit_ground

FOCAL, CENTRE = (400.0, 380.0), (160.0, 48.0)


def road(height: float, pitch: float = 0.0, walls: bool = False) -> np.ndarray:
    """Depth (128, 320) of a plane `height` below a camera that looks down by `pitch` radians; above it 60."""
    v, u = np.mgrid[:128, :320]
    y = (v - CENTRE[1]) / FOCAL[1]
    down = y * np.cos(pitch) + np.sin(pitch)
    depth = np.where(down > height / 60, height / np.maximum(down, 1e-9), 60.0)
    if walls:
        depth[:, :90] = np.minimum(depth[:, :90], 5.0)
    return depth.astype(np.float32)


@pytest.mark.parametrize("pitch", [0.0, 0.1, -0.05])
@pytest.mark.parametrize("height", [1.65, 0.05])
def test_the_height_is_that_of_the_plane(height, pitch):
    ground = fit_ground(road(height, pitch), FOCAL, CENTRE, None)
    assert ground.height == pytest.approx(height, rel=2e-3) and ground.share > 0.95


def test_a_third_of_other_things_and_noise_do_not_matter():
    depth = road(1.65, walls=True) * (1 + 0.01 * np.random.RandomState(0).randn(128, 320)).astype(np.float32)
    ground = fit_ground(depth, FOCAL, CENTRE, None)
    assert ground.height == pytest.approx(1.65, rel=0.02) and 0.5 < ground.share < 0.9


def test_pixels_of_the_road_count_alone_where_there_are_enough():
    depth = road(1.65)
    where = np.zeros(depth.shape, bool)
    where[100:, 200:] = True
    depth[~where] = 7.0
    assert fit_ground(depth, FOCAL, CENTRE, where).height == pytest.approx(1.65, rel=1e-3)
    assert fit_ground(depth, FOCAL, CENTRE, np.zeros(depth.shape, bool)) is None


def test_a_wall_is_no_ground():
    wall = np.full((128, 320), 7.0, np.float32)
    assert fit_ground(wall, FOCAL, CENTRE, None) is None
    for seed in range(5):  # three pixels of a rough wall may look level
        rough = wall * (1 + 0.02 * np.random.default_rng(seed).standard_normal(wall.shape).astype(np.float32))
        assert fit_ground(rough, FOCAL, CENTRE, None) is None
