"""Rays meet shapes where they should, and depth, labels and scans describe the same street."""

from __future__ import annotations

import numpy as np
import pytest

from street.camera import EYE_HEIGHT, SCANNER_OFFSET, Pose, kitti_camera
from street.primitives import PRIMITIVE, Kind, Label, Material, placed, primitive
from street.raycast import BACK, BLOB, FACES, FAR, GROUND, RIGHT, ROUND, SKY, TOP, cast
from street.render import Renderer
from street.road import MAX_FRAMES, Arc
from street.scan import scan
from street.scene import draw_scene

CAMERA = kitti_camera(96, 320)
EYE = Pose(0.0, -EYE_HEIGHT, 0.0, 0.0)


def test_ground_depth_follows_from_the_row():
    hits = cast(np.zeros(0, PRIMITIVE), EYE, CAMERA.rays())
    rows = np.arange(CAMERA.height)
    with np.errstate(divide="ignore"):
        expected = EYE_HEIGHT * CAMERA.fy / (rows - CAMERA.cy)
    seen = (rows > CAMERA.cy) & (expected < FAR)
    np.testing.assert_allclose(hits.length[seen], np.repeat(expected[seen, None], CAMERA.width, 1), rtol=1e-5)
    assert (hits.code[seen] == GROUND).all()
    assert (hits.code[~seen] == SKY).all() and np.isinf(hits.length[~seen]).all()


def test_box_has_its_analytic_depth_and_outline():
    box = primitive(Kind.BOX, Material.PLAIN, Label.WALL, (0, 0, 0), (3.0, 1.0), 2.5, 1.0, at=(0.5, 10.5))
    hits = cast(box, EYE, CAMERA.rays())
    front = hits.code == BACK
    np.testing.assert_allclose(hits.length[front], 10.0, rtol=1e-6)
    row, column = np.nonzero(front)
    left, right = CAMERA.cx + CAMERA.fx * -1.0 / 10, CAMERA.cx + CAMERA.fx * 2.0 / 10
    top, bottom = CAMERA.cy + CAMERA.fy * (EYE_HEIGHT - 2.5) / 10, CAMERA.cy + CAMERA.fy * (EYE_HEIGHT - 1.0) / 10
    assert (column.min(), column.max()) == (np.ceil(left), np.floor(right))
    assert (row.min(), row.max()) == (np.ceil(top), np.floor(bottom))
    assert front.sum() == np.ptp(row) * np.ptp(column) + np.ptp(row) + np.ptp(column) + 1


def test_sub_samples_lie_symmetrically_around_the_pixel_centre():
    whole, parts = CAMERA.rays(), CAMERA.rays(2)
    np.testing.assert_allclose(parts.right.reshape(-1, 2).mean(1), whole.right, atol=1e-7)
    np.testing.assert_allclose(parts.down.reshape(-1, 2).mean(1), whole.down, atol=1e-7)
    np.testing.assert_allclose(np.diff(parts.right) * CAMERA.fx, 0.5, atol=1e-4)
    assert whole.right[int(CAMERA.cx)] == 0


@pytest.mark.parametrize("kind", [Kind.BOX, Kind.CYLINDER, Kind.ELLIPSOID])
def test_hits_lie_on_the_surface_of_a_turned_shape(kind):
    shape = placed(
        primitive(kind, Material.PLAIN, Label.WALL, (0, 0, 0), (2.0, 2.0 if kind == Kind.CYLINDER else 3.0), 2.6, 0.4),
        1.0,
        7.0,
        0.5,
    )
    pose = Pose(-1.0, -3.2, 0.5, 0.2)  # from above, so that a box shows its top
    rays = CAMERA.rays()
    hits = cast(shape, pose, rays)
    row, column = np.nonzero(hits.code >= 0)
    assert row.size > 100
    ray_x, ray_z = rays.world(pose.yaw)
    length = hits.length[row, column]
    dx, dz = pose.x + length * ray_x[column] - 1.0, pose.z + length * ray_z[column] - 7.0
    y = pose.y + length * rays.down[row]
    own_x = (dx * np.cos(0.5) - dz * np.sin(0.5)) / shape["half_x"]
    own_z = (dx * np.sin(0.5) + dz * np.cos(0.5)) / shape["half_z"]
    own_y = (y + 1.5) / 1.1
    outside = {
        Kind.BOX: np.max(np.abs([own_x, own_y, own_z]), 0),
        Kind.CYLINDER: np.hypot(own_x, own_z),
        Kind.ELLIPSOID: np.sqrt(own_x**2 + own_y**2 + own_z**2),
    }[kind]
    np.testing.assert_allclose(outside, 1, atol=2e-3)
    faces = set(np.unique(hits.code[row, column] % FACES))
    assert faces == {Kind.BOX: {BACK, RIGHT, TOP}, Kind.CYLINDER: {ROUND}, Kind.ELLIPSOID: {BLOB}}[kind]


def test_nearer_shapes_hide_farther_ones_in_any_order():
    near = primitive(Kind.BOX, Material.PLAIN, Label.WALL, (0, 0, 0), (2.0, 0.5), 2.0, at=(0, 8))
    far = primitive(Kind.ELLIPSOID, Material.PLAIN, Label.WALL, (0, 0, 0), (6.0, 6.0), 5.0, at=(0, 20))
    one, other = (cast(np.concatenate(order), EYE, CAMERA.rays()) for order in ((near, far), (far, near)))
    np.testing.assert_array_equal(one.length, other.length)
    np.testing.assert_allclose(one.length[50, 160], 7.75, rtol=1e-6)


@pytest.mark.parametrize("bend", [0.0, 1 / 70, -1 / 90])
def test_street_coordinates_and_back(bend):
    arc = Arc(bend)
    s, d = np.meshgrid(np.linspace(20, 140, 13), np.linspace(-12, 12, 7))
    points = np.array([arc.point(float(a), float(b)) for a, b in zip(s.ravel(), d.ravel(), strict=True)])
    back = arc.locate(points[:, 0].astype(np.float32), points[:, 1].astype(np.float32), near=60.0)
    np.testing.assert_allclose(back, [s.ravel(), d.ravel()], atol=1e-3)


def test_the_eye_moves_by_its_speed_and_looks_along_its_path():
    for index in range(6):
        ride = draw_scene(0, index).ride
        poses = [ride.pose(frame) for frame in range(30)]
        for frame in range(29):
            here, there = poses[frame], poses[frame + 1]
            step = np.linalg.inv(here.matrix()) @ there.matrix()
            assert abs(np.hypot(step[0, 3], step[2, 3]) / ride.speed_at(frame) - 1) < 0.01
            assert abs(step[0, 3] / step[2, 3]) < 0.03


def test_labels_and_depth_agree_about_the_sky_and_every_id_occurs():
    seen = set()
    for index in range(20):
        street = Renderer(draw_scene(0, index), CAMERA)
        for frame in (0, 11):
            truth = street.truth(frame)
            np.testing.assert_array_equal(truth.labels == Label.SKY, truth.depth == 0)
            assert truth.depth.max() <= FAR
            seen |= set(truth.labels.ravel().tolist())
    assert seen == {int(label) for label in Label} - {Label.BONNET}


def test_label_edges_coincide_with_depth_edges_between_objects_and_sky():
    truth = Renderer(draw_scene(0, 2), CAMERA).truth(0)
    sky = truth.labels == Label.SKY
    edge = sky[:, 1:] != sky[:, :-1]
    jump = (truth.depth[:, 1:] == 0) != (truth.depth[:, :-1] == 0)
    np.testing.assert_array_equal(edge, jump)


def test_scan_agrees_with_the_rendered_depth():
    camera, errors = kitti_camera(192, 640), []
    for index in range(4):
        street = Renderer(draw_scene(0, index), camera)
        points, depth = scan(street.scene, 1), street.truth(1).depth
        x, y, z = -points[:, 1], -points[:, 2] + SCANNER_OFFSET[1], points[:, 0] + SCANNER_OFFSET[2]
        column, row = np.round(camera.fx * x / z + camera.cx), np.round(camera.fy * y / z + camera.cy)
        inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        assert len(points) > 25000 and inside.sum() > 10000
        rendered = depth[row[inside].astype(int), column[inside].astype(int)]
        errors.append(np.abs(rendered - z[inside]) / z[inside])
    errors = np.concatenate(errors)
    assert np.median(errors) < 0.005
    assert np.mean(errors < 0.015) > 0.85


def test_scanner_noise_drops_points_and_keeps_the_range():
    scene = draw_scene(0, 0)
    clean, noisy = scan(scene, 0), scan(scene, 0, np.random.default_rng(3))
    assert 0.94 < len(noisy) / len(clean) < 0.96
    distance = np.linalg.norm(noisy[:, :3], axis=1)
    assert 1.9 < distance.min() and distance.max() < 80.1
    assert noisy.dtype == np.float32 and 0 <= noisy[:, 3].min() and noisy[:, 3].max() <= 1


def test_a_scene_does_not_depend_on_how_much_of_it_is_used():
    once, again = draw_scene(4, 17), draw_scene(4, 17)
    np.testing.assert_array_equal(once.table(MAX_FRAMES - 1), again.table(MAX_FRAMES - 1))
    assert once.ride.pose(MAX_FRAMES - 1) == again.ride.pose(MAX_FRAMES - 1)
    assert draw_scene(5, 17).ride.speed != once.ride.speed


def test_speeds_are_log_uniform():
    speeds = np.log([draw_scene(0, index).ride.speed for index in range(100)])
    assert np.log(0.25) <= speeds.min() and speeds.max() <= np.log(1.2)
    assert abs(speeds.mean() - np.log(0.25 * 1.2) / 2) < 0.12
