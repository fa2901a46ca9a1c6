"""Filled and smoothed depth against the published numbers, and the fast solver against elimination."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dataloader.prepare import grids
from dataloader.prepare.dense_depth import filled, smoothed
from dataloader.prepare.grids import matrix, solve, solve_directly
from tests import golden


def directly(stencil: np.ndarray, right: np.ndarray, *_: object, **__: object) -> np.ndarray:
    return solve_directly(stencil, right)


@pytest.mark.parametrize("solver", [solve, directly])
@pytest.mark.parametrize(("name", "alpha"), [("fill_alpha1", 1.0), ("fill_alpha08", 0.8)])
def test_filled_depth_is_the_published_one(name, alpha, solver):
    meta, want = golden.load("sdconvtrans_fill")
    height, width, seed = (meta["inputs"][key] for key in ("h", "w", "seed"))
    image = 0.3 * golden.uniform(seed, height, width, 3) + 0.5 * (np.arange(width) > 0.55 * width)[:, None]
    found = filled(image.astype(np.float64), want["sparse"], alpha, solver)
    assert_allclose(found, want[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("solver", [solve, directly])
def test_the_base_is_the_published_one(solver):
    _, want = golden.load("sdconvtrans_fill")
    found = smoothed(want["fill_alpha1"].astype(np.float64), 1.0, solver)
    assert_allclose(found, want["base"], rtol=0, atol=2e-5)


def room(height: int = 120, width: int = 152) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture of a wall with a box before it, RGB in [0, 1], and its depth with a large gap and small ones."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    box = (abs(x - 70) < 30) & (abs(y - 60) < 25)
    grey = 0.4 + 0.2 * box + 0.1 * np.sin(x / 5) + 0.05 * rng.standard_normal((height, width))
    depth = 3 + 0.01 * y - 1.2 * box + 0.01 * rng.standard_normal((height, width))
    depth[40:95, 50:120] = 0
    depth[rng.random((height, width)) < 0.3] = 0
    return np.clip(np.repeat(grey[..., None], 3, 2) * [1, 0.9, 0.8], 0, 1), depth


def test_the_fast_solver_is_as_exact_as_elimination():
    image, depth = room()
    found, expected = (filled(image, depth, 0.8, solver) for solver in (solve, directly))
    assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert np.array_equal(found[depth > 0], depth[depth > 0])
    assert_allclose(smoothed(found, 1.0), smoothed(found, 1.0, directly), rtol=0, atol=2e-5)


def test_it_gets_there_in_few_steps(monkeypatch):
    image, depth = room()
    monkeypatch.setattr(grids, "MOST_STEPS", 40)
    monkeypatch.setattr(grids, "solve_directly", None)
    smoothed(filled(image, depth, 0.8), 1.0)


def test_where_it_does_not_get_there_it_eliminates(monkeypatch):
    image, depth = room(48, 64)
    expected = filled(image, depth, 0.8, directly)
    monkeypatch.setattr(grids, "MOST_STEPS", 1)
    assert_allclose(filled(image, depth, 0.8), expected, rtol=0, atol=1e-9)


def test_the_matrix_of_a_stencil_has_its_rows():
    rng = np.random.default_rng(1)
    stencil = rng.random((3, 3, 3, 4))
    dense = np.zeros((12, 12))
    for dy in range(3):
        for dx in range(3):
            for y in range(3):
                for x in range(4):
                    if 0 <= y + dy - 1 < 3 and 0 <= x + dx - 1 < 4:
                        dense[4 * y + x, 4 * (y + dy - 1) + x + dx - 1] = stencil[dy, dx, y, x]
                    else:
                        stencil[dy, dx, y, x] = 0
    assert_allclose(matrix(stencil).toarray(), dense)


def test_gaps_take_their_depth_from_pixels_of_their_grey():
    image = np.full((20, 40, 3), 0.2)
    image[:, 20:] = 0.8
    depth = np.where(np.arange(40) < 20, 1.0, 5.0) * np.ones((20, 1))
    depth[5:15, 15:25] = 0
    found = filled(image, depth, 1.0)
    assert_allclose(found[5:15, 15:20], 1, atol=0.02)
    assert_allclose(found[5:15, 20:25], 5, atol=0.02)


def test_the_base_is_smooth_but_for_edges():
    rng = np.random.default_rng(2)
    depth = np.where(np.arange(40) < 20, 2.0, 6.0) + 0.001 * rng.standard_normal((20, 40))
    base = smoothed(depth, 1.0)
    assert np.abs(np.diff(base[:, :19], axis=1)).max() < 0.25 * np.abs(np.diff(depth[:, :19], axis=1)).max()
    assert base[:, 20:].min() - base[:, :20].max() > 3


@pytest.mark.parametrize("known", [1, 20 * 30])
def test_a_single_measurement_and_a_whole_map_are_fine(known):
    depth = np.zeros(600)
    depth[:known] = 4.0
    assert_allclose(filled(np.random.default_rng(0).random((20, 30, 3)), depth.reshape(20, 30), 1.0), 4.0, atol=1e-4)
