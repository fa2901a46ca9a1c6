"""Disparity, motion and warping against the published code, and by their properties."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from perspective_resample.camera import backproject, normals
from perspective_resample.depth import disp_to_depth, scale_disparity
from perspective_resample.pose import rotation_matrix, transformation
from perspective_resample.views import synthesise, warp_labels
from perspective_resample.warp import sampling_grid, warp
from tests import golden


def intrinsics(height: int, width: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    K = torch.eye(4, dtype=dtype)[None].clone()
    K[0, 0, 0], K[0, 1, 1], K[0, 0, 2], K[0, 1, 2] = 0.58 * width, 1.92 * height, 0.5 * width, 0.5 * height
    return K, torch.linalg.inv(K)


def test_depth_of_disparity_covers_the_range():
    disp = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    assert_close(disp_to_depth(disp, 0.1, 100.0), torch.tensor([100.0, 0.1, 1 / 5.005], dtype=torch.float64))
    assert_close(scale_disparity(disp, 0.1, 100.0)[2].item(), 5.005)


def test_motion_matrices_match_the_published_ones():
    meta, want = golden.load("sgdepth_pose_matrices")
    seeds = {name: int(re.search(r"uniform\((\d+),", text)[1]) for name, text in meta["inputs"].items()}
    shape = tuple(int(n) for n in re.search(r"uniform\(\d+,(\d+),(\d+)\)", meta["inputs"]["axisangle"]).groups())
    factors = np.array(eval(re.search(r"\[[\d., ]+\]", meta["inputs"]["axisangle"])[0], {}), np.float32)  # noqa: S307
    axisangle = torch.from_numpy((golden.uniform(seeds["axisangle"], *shape) - 0.5) * factors[:, None])
    translation = torch.from_numpy((golden.uniform(seeds["translation"], *shape) - 0.5) * 2)
    tolerance = {"rtol": meta["tolerance"], "atol": meta["tolerance"]}
    np.testing.assert_allclose(transformation(axisangle, translation), want["T"], **tolerance)
    np.testing.assert_allclose(transformation(axisangle, translation, invert=True), want["T_inv"], **tolerance)


def test_inverted_motion_undoes_the_motion():
    torch.manual_seed(0)
    a, t = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    product = transformation(a, t) @ transformation(a, t, invert=True)
    assert_close(product, torch.eye(4, dtype=torch.float64).expand(5, 4, 4), atol=1e-6, rtol=0)


def test_quarter_turn_about_y_carries_z_to_x():
    R = rotation_matrix(torch.tensor([0.0, np.pi / 2, 0.0], dtype=torch.float64))
    assert_close(
        R @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64),
        torch.tensor([1.0, 0.0, 0.0]).double(),
        atol=1e-6,
        rtol=0,
    )


def test_zero_rotation_has_a_finite_gradient():
    a = torch.zeros(1, 3, requires_grad=True)
    transformation(a, torch.ones(1, 3)).sum().backward()
    assert torch.isfinite(a.grad).all()


def test_views_match_the_published_resampler():
    meta, want = golden.load("sgdepth_resampler")
    seed, R = meta["inputs"]["seed"], meta["inputs"]["R"]
    batch, height, width = meta["inputs"]["N,H,W"]
    disp = {
        r: torch.from_numpy(0.005 + 0.03 * golden.uniform(seed + r, batch, 1, height >> r, width >> r))
        for r in range(R)
    }
    images = {
        f: torch.from_numpy(golden.uniform(seed + 20 + i, batch, 3, height, width)) for i, f in enumerate((0, -1, 1))
    }
    K, inv_K = torch.from_numpy(want["in_K"]), torch.from_numpy(want["in_inv_K"])
    motion = {-1: torch.from_numpy(want["in_T_prev"]), 1: torch.from_numpy(want["in_T_next"])}
    views = synthesise(disp, motion, images, K, inv_K, 0.1, 100.0)
    for r in range(R):
        mine = slice(r * batch, (r + 1) * batch)
        np.testing.assert_allclose(views.depth[mine], want[f"depth_{r}"], rtol=1e-5)
        np.testing.assert_allclose(views.color[-1][mine], want[f"color_prev_{r}"], atol=2e-5)
        np.testing.assert_allclose(views.color[1][mine], want[f"color_next_{r}"], atol=2e-5)
    np.testing.assert_allclose(views.grid[-1][:batch], want["grid_prev_0"], atol=2e-5)
    np.testing.assert_allclose(views.grid[1][(R - 1) * batch :], want["grid_next_3"], atol=2e-5)
    np.testing.assert_allclose(normals(views.depth[:batch], inv_K), want["normals_0"], atol=1e-3)
    for i, (frame, name) in enumerate(((-1, "seg_prev"), (1, "seg_next")), start=1):
        ids = np.clip(np.floor(20 * golden.uniform(130 + i, batch, height // 4, width // 4)), 0, 18)
        labels = torch.from_numpy(ids.repeat(4, 1).repeat(4, 2).astype(np.int64))
        found = warp_labels(labels, views.grid[frame][:batch]).numpy()
        assert (found != want[name]).mean() <= 1e-3


def test_no_motion_is_the_identity():
    torch.manual_seed(1)
    image, depth = torch.rand(2, 3, 8, 12, dtype=torch.float64), torch.rand(2, 1, 8, 12, dtype=torch.float64) + 1
    K, inv_K = (m.expand(2, 4, 4) for m in intrinsics(8, 12))
    grid = sampling_grid(depth, K, inv_K, torch.eye(4, dtype=torch.float64).expand(2, 4, 4))
    assert_close(warp(image, grid), image, atol=1e-5, rtol=0)


def test_sideways_motion_shifts_a_plane_by_its_disparity():
    height, width, depth = 8, 20, 4.0
    K, inv_K = intrinsics(height, width)
    T = torch.eye(4, dtype=torch.float64)[None].clone()
    T[0, 0, 3] = 2 * depth / K[0, 0, 0]  # two pixels at that depth
    image = torch.rand(1, 3, height, width, dtype=torch.float64)
    plane = torch.full((1, 1, height, width), depth, dtype=torch.float64)
    shifted = warp(image, sampling_grid(plane, K, inv_K, T))
    assert_close(shifted[..., :-2], image[..., 2:], atol=1e-5, rtol=0)
    assert_close(shifted[..., -1], image[..., -1], atol=1e-5, rtol=0)  # the border repeats


def test_folded_projection_equals_points_carried_one_by_one():
    torch.manual_seed(2)
    K, inv_K = (m.expand(2, 4, 4) for m in intrinsics(6, 10))
    depth = torch.rand(2, 1, 6, 10, dtype=torch.float64) * 20 + 1
    T = transformation(torch.randn(2, 3).double() * 0.1, torch.randn(2, 3).double())
    points = backproject(depth, inv_K).flatten(2)
    moved = K[:, :3, :3] @ (T[:, :3, :3] @ points + T[:, :3, 3:])
    pixels = moved[:, :2] / (moved[:, 2:] + 1e-7)
    expected = 2 * pixels / torch.tensor([9.0, 5.0]).double().view(1, 2, 1) - 1
    assert_close(sampling_grid(depth, K, inv_K, T), expected.permute(0, 2, 1).reshape(2, 6, 10, 2))


def test_resolutions_stacked_give_what_each_gives_alone():
    torch.manual_seed(3)
    K, inv_K = (m.expand(2, 4, 4) for m in intrinsics(8, 12))
    depth = torch.rand(4, 1, 8, 12, dtype=torch.float64) + 2
    T = transformation(torch.randn(2, 3).double() * 0.01, torch.randn(2, 3).double() * 0.1)
    together = sampling_grid(depth, K, inv_K, T)
    for r in (0, 1):
        assert_close(together[2 * r : 2 * r + 2], sampling_grid(depth[2 * r : 2 * r + 2], K, inv_K, T))


def test_normals_of_a_plane_ahead_point_along_the_view():
    K, inv_K = intrinsics(6, 10)
    found = normals(torch.full((1, 1, 6, 10), 3.0, dtype=torch.float64), inv_K)
    assert_close(found, torch.tensor([0.0, 0.0, 1.0]).double().expand(1, 5, 9, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_geometry_keeps_the_dtype(dtype):
    K, inv_K = intrinsics(4, 6, dtype)
    grid = sampling_grid(torch.ones(1, 1, 4, 6, dtype=dtype), K, inv_K, torch.eye(4, dtype=dtype)[None])
    assert grid.dtype == dtype


def test_coordinates_that_are_no_number_neither_crash_nor_carry_a_gradient():
    grid = torch.rand(1, 16, 16, 2) * 2 - 1
    grid[:, ::3] = float("nan")
    grid[:, 1::3] = float("inf")
    grid.requires_grad_()
    warped = warp(torch.rand(1, 3, 16, 16), grid)
    warped.sum().backward()
    assert warped.isfinite().all() and grid.grad.isfinite().all() and grid.grad[:, ::3].abs().max() == 0
