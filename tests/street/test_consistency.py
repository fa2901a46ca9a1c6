"""The pictures of a street agree with its depth and poses: what self-supervised training relies on."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from street.camera import BASELINE, kitti_camera
from street.primitives import Kind, Label, Material, primitive
from street.render import Renderer
from street.scene import draw_scene

from .oracle import view_errors


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def renderer(index: int, height: int = 96, width: int = 320) -> Renderer:
    return Renderer(draw_scene(0, index), kitti_camera(height, width))


@pytest.mark.parametrize(
    ("size", "right", "scenes", "bar"),
    [
        ((96, 320), False, 4, 0.13),
        ((96, 320), True, 4, 0.10),
        ((192, 640), False, 2, 0.095),
        ((192, 640), True, 2, 0.08),
    ],
)
def test_true_depth_and_pose_explain_the_other_view(size, right, scenes, bar):
    errors = np.array([view_errors(renderer(i, *size), right=right) for i in range(scenes)])
    warped, identity = errors.mean(0)
    assert warped / identity < bar
    assert identity > 0.05  # there is something to explain


def test_scaled_depth_explains_the_next_frame_much_worse():
    scenes = [renderer(i) for i in range(4)]
    true, near, far, double = (
        np.mean([view_errors(scene, scale=scale, everywhere=True)[0] for scene in scenes])
        for scale in (1, 0.8, 1.25, 2)
    )
    assert min(near, far, double) > 1.8 * true


def test_disparity_between_the_cameras_is_baseline_times_focal_length_over_depth():
    depths = (6.0, 11.0, 19.0)
    walls = [
        primitive(
            Kind.BOX, Material.PLAIN, Label.WALL, (0.5, 0.5, 0.5), (2.4, 1.0), 3.0, at=(x, depth + 0.5), contrast=0.3
        )
        for x, depth in zip((-2.6, 1.5, 7.0), depths, strict=True)
    ]
    scene = draw_scene(0, 1)
    still = np.concatenate(walls)
    still["serial"] = np.arange(len(still))
    ride = replace(
        scene.ride,
        arc=replace(scene.ride.arc, bend=0.0),
        offset=0.0,
        weave=0.0,
        jitter=np.zeros_like(scene.ride.jitter),
    )
    road = replace(scene.road, arc=ride.arc)
    street = Renderer(replace(scene, still=still, movers=(), ride=ride, road=road), kitti_camera(192, 640))
    left, right = (street.image(0, right=eye).astype(np.float32) for eye in (False, True))
    camera = street.camera
    for x, depth in zip((-2.6, 1.5, 7.0), depths, strict=True):
        reach, middle = camera.fx * 0.6 / depth, camera.cx + camera.fx * x / depth
        columns = np.arange(round(middle - reach), round(middle + reach), dtype=np.float32)
        rows = np.arange(round(camera.cy - camera.fy * 0.9 / depth), round(camera.cy + camera.fy * 0.9 / depth))
        grid_x, grid_y = np.meshgrid(columns, rows.astype(np.float32))
        expected = BASELINE * camera.fx / depth
        shifts = expected + np.arange(-1, 1.001, 0.01)
        here = left[rows[0] : rows[-1] + 1, int(columns[0]) : int(columns[-1]) + 1]
        errors = [
            np.square(cv2.remap(right, grid_x - np.float32(shift), grid_y, cv2.INTER_CUBIC) - here).mean()
            for shift in shifts
        ]
        assert abs(shifts[int(np.argmin(errors))] - expected) < 0.06


def test_mean_and_spread_of_brightness():
    for index in range(10):
        image = renderer(index).image(0).astype(np.float32) / 255
        assert 0.3 < image.mean() < 0.6, index
        assert image.std() > 0.12, index


def test_sensor_noise_is_weak_and_unbiased():
    street = renderer(3)
    clean = street.image(1).astype(np.float32)
    noisy = street.image(1, noise=np.random.default_rng(5)).astype(np.float32) / street.scene.ride.exposure[1] ** 0.9
    inside = (clean > 20) & (clean < 235)
    assert abs((noisy - clean)[inside].mean()) < 0.3
    assert 0.5 < (noisy - clean)[inside].std() < 1.6
