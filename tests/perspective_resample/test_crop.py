"""Windows of enlarged images: their camera and place, against the published ones and by geometry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from perspective_resample.crop import Crop, crop_of, cropped_camera, cropped_maps, enlarged_motion
from perspective_resample.depth import disp_to_depth
from perspective_resample.pose import transformation
from perspective_resample.rearrange import permuted_back, pick
from perspective_resample.warp import sampling_grid, warp
from tests import golden

NAME = "bdedepth_views"
SIZE = (32, 96)


def camera(px: float = 0.5, py: float = 0.5) -> Tensor:
    height, width = SIZE
    K = torch.eye(4)
    K[0, 0], K[1, 1], K[0, 2], K[1, 2] = 0.58 * width, 1.92 * height, px * width, py * height
    return K[None]


def published(case: int) -> Crop:
    meta, want = golden.load(NAME)
    height, width, left, top = map(int, want[f"case{case}_resized_crop"])
    return crop_of(tuple(meta["size"]), meta["cases"][case]["ratio"], (height, width), (top, left))


@pytest.mark.parametrize("case", range(3))
def test_camera_and_window_are_the_published_ones(case):
    _, want = golden.load(NAME)
    crop = published(case)
    np.testing.assert_array_equal(crop[4:], want[f"case{case}_consistency_window"])
    crops = torch.tensor([crop])
    for K, name in ((camera(), "K_crop_equivalent"), (camera(0.5356, 0.6682), "K_local_offcentre")):
        found, inverse = cropped_camera(K, torch.linalg.inv(K), crops)
        expected = want[f"case{case}_{name}"]
        np.testing.assert_allclose(found[0, : len(expected), : len(expected)], expected, rtol=1e-5, atol=1e-5)
        assert_close(inverse @ found, torch.eye(4)[None], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", range(3))
def test_neighbours_are_warped_to_the_window_as_published(case):
    _, want = golden.load(NAME)
    axisangle = (torch.from_numpy(golden.uniform(331 + case, 1, 1, 3)) * 2 - 1)[:, 0] * 0.05
    translation = (torch.from_numpy(golden.uniform(341 + case, 1, 1, 3)) * 2 - 1)[:, 0] * 0.2
    T = transformation(axisangle, translation)
    np.testing.assert_allclose(T[0], want[f"case{case}_T"], rtol=1e-5, atol=1e-6)
    coarse = torch.from_numpy(golden.uniform(351 + case, 1, 1, SIZE[0] // 4, SIZE[1] // 4))
    disp = 0.05 + 0.3 * F.interpolate(coarse, SIZE, mode="bilinear", align_corners=False)
    crops = torch.tensor([published(case)])
    K, inv_K = cropped_camera(camera(), torch.linalg.inv(camera()), crops)
    depth = disp_to_depth(disp, 0.1, 100.0)
    grid = sampling_grid(depth, K, inv_K, enlarged_motion(T, crops))
    np.testing.assert_allclose(grid[0, ::4, ::4], want[f"case{case}_pix_local"], rtol=1e-5, atol=1e-5)
    source = torch.from_numpy(want[f"case{case}_local_-1"]).permute(2, 0, 1)[None] / 255
    found = warp(source, grid)[0, :, ::4, ::4]
    np.testing.assert_allclose(found, want[f"case{case}_warp_local_-1"], rtol=1e-5, atol=1e-4)
    nearer = sampling_grid(depth / crops[:, 1].view(-1, 1, 1, 1), K, inv_K, T)  # the other way to say it
    assert_close(nearer, grid, rtol=1e-4, atol=1e-4)


def test_a_point_is_seen_by_both_cameras_at_its_places():
    """What lies at the middle of the window's pixel lies at that place in the image, for every sample of a batch."""
    crops = torch.tensor([crop_of(SIZE, 1.5, (48, 144), (5, 30)), crop_of(SIZE, 1.9, (60, 182), (20, 3))])
    K = torch.cat((camera(0.4, 0.6), camera(0.55, 0.45)))
    local, _ = cropped_camera(K, torch.linalg.inv(K), crops)
    point = torch.tensor([0.3, -0.1, 4.0])
    seen, near = (((matrix[:, :3, :3] @ point) / point[2])[:, :2] for matrix in (K, local))
    for index, (enlarged, corner) in enumerate((((48, 144), (5, 30)), ((60, 182), (20, 3)))):
        share = crops[index, 1]
        left = SIZE[1] * corner[1] / (enlarged[1] - 1)
        assert_close(near[index, 0] * share + left, seen[index, 0], rtol=1e-5, atol=1e-4)


def test_maps_of_a_window_show_what_lies_where_its_camera_looks():
    """Of maps that say where a pixel lies the window has the pixels that `cropped_camera` gives it."""
    crop = published(1)
    crops = torch.tensor([crop, crop])
    height, width = SIZE
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    found = cropped_maps(torch.stack((columns, rows)).float().expand(2, -1, -1, -1), crops)
    seen = torch.stack((crop.share * columns + crop.left, crop.share * rows + crop.top))
    seen = torch.stack((seen[0].clamp(0, width - 1), seen[1].clamp(0, height - 1)))
    assert_close(found, seen.expand(2, -1, -1, -1), rtol=1e-4, atol=1e-3)


def test_windows_never_leave_the_image():
    rng = np.random.default_rng(0)
    for size in ((192, 640), (288, 384), (64, 96)):
        for u in rng.random((300, 3)):
            ratio = 0.8 * u[0] + 1.2
            enlarged = tuple(int(side * ratio) for side in size)
            corner = tuple(int((big - side) * share) for big, side, share in zip(enlarged, size, u[1:], strict=True))
            crop = crop_of(size, ratio, enlarged, corner)
            assert 0 <= crop.column and crop.column + crop.width <= size[1]
            assert 0 <= crop.row and crop.row + crop.height <= size[0]
            assert crop.width <= round(size[1] / 1.2) and crop.height <= round(size[0] / 1.2)


def test_swapped_blocks_come_back():
    image = torch.rand(2, 1, 16, 24)
    splits = torch.tensor([[5.0, 7.0], [12.0, 20.0]])  # row, column
    swapped = torch.stack([one.roll((-int(r), -int(c)), (1, 2)) for one, (r, c) in zip(image, splits, strict=True)])
    first = torch.tensor([[16.0, 24.0]]) - splits
    assert torch.equal(permuted_back(swapped, first), image)
    half = swapped[..., ::2, ::2]
    shift = (first[0] / 2).round().int().tolist()
    assert torch.equal(permuted_back(half, first, 1)[0], half[0].roll((-shift[0], -shift[1]), (1, 2)))


def test_picked_pixels_pass_their_gradient():
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    rows, columns = torch.tensor([[0, 2], [3, 3]]), torch.tensor([[4, 1, 1], [0, 2, 3]])
    found = pick(images, rows, columns)
    assert torch.equal(found[1, 2], images[1, 2][rows[1]][:, columns[1]])
    assert torch.autograd.gradcheck(lambda x: pick(x, rows, columns), images)
