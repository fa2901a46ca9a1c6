"""Teachers judged on images of their own size: aligned where they know no metres, cropped where their authors did."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from errors import UserError
from evaluation.protocols import MASKS
from evaluation.teacher import aligned, evaluate_teacher, in_crop, teacher_protocol, window

SPEC = SimpleNamespace(domain="test_depth", mask="kitti_kitti", clamp="kitti")


def make_batch(*depths: np.ndarray, image: tuple[int, int] = (), spec: SimpleNamespace = SPEC) -> SimpleNamespace:
    """A batch whose images show the depth in their red channel, so that a stand-in can look it up."""
    truth = []
    for number, depth in enumerate(depths):
        pixels = np.zeros((*(image or depth.shape), 3), np.uint8)
        if not image:
            pixels[..., 0] = depth.astype(np.uint8)
        truth.append(SimpleNamespace(name=f"image {number}", image=pixels, depth=depth))
    return SimpleNamespace(spec=spec, inputs={0: torch.zeros(len(depths), 3, 8, 8)}, truth=tuple(truth))


def scene(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.RandomState(seed).randint(3, 70, (height, width)).astype(np.float32)


def seen(rgb: torch.Tensor) -> torch.Tensor:
    """The right inverse depth, from the red channel."""
    return 1 / (rgb[:, 0] * 255)


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (250.0, 3.0), (0.01, -0.2)])
def test_a_relative_teacher_is_judged_whatever_its_scale_and_shift(scale, shift):
    result = evaluate_teacher(lambda rgb: scale * seen(rgb) + shift, [make_batch(scene(1), scene(2))], metric=False)
    np.testing.assert_allclose(result.metrics["abs_rel"], 0, atol=1e-4)
    assert result.metrics["a1"] == 1 and len(result.names) == 2


def test_alignment_is_the_least_squares_of_inverse_depth_over_valid_pixels():
    depth = scene(3)
    valid = np.random.RandomState(4).random_sample(depth.shape) < 0.3
    inverse = torch.from_numpy(np.random.RandomState(5).random_sample(depth.shape).astype(np.float32)) * 40
    columns = np.stack([inverse.numpy()[valid], np.ones(valid.sum())], 1).astype(np.float64)
    (scale, shift), *_ = np.linalg.lstsq(columns, 1 / depth[valid].astype(np.float64), rcond=None)
    np.testing.assert_allclose(aligned(inverse, depth, valid).numpy(), scale * inverse.numpy() + shift, rtol=1e-5)


def test_a_constant_answer_and_no_truth_at_all_stay_finite():
    depth = scene(6)
    found = aligned(torch.full(depth.shape, 3.0), depth, depth > 0)
    np.testing.assert_allclose(found.numpy(), (1 / depth).mean(), rtol=1e-5)
    assert (aligned(torch.rand(depth.shape), depth, depth < 0) == 0).all()
    result = evaluate_teacher(seen, [make_batch(scene(7), np.zeros((40, 60), np.float32))], metric=False)
    assert result.skipped == 1 and len(result.names) == 1
    with pytest.raises(UserError, match="none of 1 images"):
        evaluate_teacher(seen, [make_batch(np.zeros((40, 60), np.float32))], metric=False)


def test_aligned_depth_ends_at_the_far_end_of_the_clamp():
    drawn = []
    depth = scene(8)
    depth[0, 0] = 0  # not measured, and the teacher says: behind infinity
    evaluate_teacher(
        lambda rgb: seen(rgb).where(rgb[:, 0] > 0, -10.0),
        [make_batch(depth)],
        metric=False,
        on_image=lambda position, truth, found: drawn.append(found.numpy()),
    )
    assert drawn[0][0, 0] == 80
    np.testing.assert_allclose(drawn[0][1:], depth[1:], rtol=1e-4)


@pytest.mark.parametrize("fixed, error", [(0.0, 0.5), (2.0, 0.0)])
def test_metric_teachers_are_left_as_they_are_unless_told_otherwise(fixed, error):
    result = evaluate_teacher(lambda rgb: 2 * seen(rgb), [make_batch(scene(9))], metric=True, fixed_scaling=fixed)
    np.testing.assert_allclose(result.metrics["abs_rel"], error, atol=1e-6)
    assert result.ratios.tolist() == [fixed or 1.0]


def test_a_cropped_teacher_sees_and_answers_for_its_crop_alone():
    sizes = []

    def look(rgb):
        sizes.append(tuple(rgb.shape))
        return seen(rgb)

    depth = scene(10)
    inside = np.zeros(depth.shape, bool)
    inside[10:, 5:55] = True
    drawn = []
    result = evaluate_teacher(
        look,
        [make_batch(depth)],
        metric=True,
        crop=(30, 50),
        on_image=lambda position, truth, found: drawn.append(found.numpy()),
    )
    assert sizes == [(1, 3, 30, 50)] and result.metrics["abs_rel"] < 1e-6
    np.testing.assert_allclose(drawn[0][inside], depth[inside], rtol=1e-5)
    assert drawn[0].shape == depth.shape and (drawn[0][~inside] == 80).all()
    with pytest.raises(UserError):  # truth outside the crop alone
        evaluate_teacher(look, [make_batch(np.where(inside, 0, depth))], metric=True, crop=(30, 50))


def test_the_published_crop_of_kitti():
    assert window((375, 1242), (352, 1216)) == (slice(23, 375), slice(13, 1229))
    assert window((370, 1226), (352, 1216)) == (slice(18, 370), slice(5, 1221))
    assert window((64, 128), (352, 1216)) == (slice(0, 64), slice(0, 128))
    assert window((64, 128), ()) == (slice(0, 64), slice(0, 128))
    spec = SimpleNamespace(domain="test_depth", mask="kitti_zhou", clamp="kitti")
    depth = np.full((375, 1242), 10, np.float32)
    result = evaluate_teacher(
        lambda rgb: torch.full_like(rgb[:, 0], 0.1), [make_batch(depth, spec=spec)], metric=True, crop=(352, 1216)
    )
    assert result.metrics["abs_rel"] < 1e-6
    assert (MASKS["kitti_zhou"].valid(depth) & in_crop((375, 1242), (375, 1242), (352, 1216))).sum() > 0


def test_truth_of_another_size_than_the_image():
    depth = np.full((20, 30), 5, np.float32)
    result = evaluate_teacher(
        lambda rgb: torch.full_like(rgb[:, 0], 0.2), [make_batch(depth, image=(40, 60))], metric=True, crop=(30, 40)
    )
    assert result.metrics["abs_rel"] < 0.2  # the edge of the crop is mixed with what lies outside
    inside = in_crop((20, 30), (40, 60), (30, 40))
    assert inside.sum() == 15 * 20 and inside[5:, 5:25].all()


def test_the_protocol_says_what_was_done():
    spec = SimpleNamespace(mask="kitti_zhou", clamp="kitti")
    common = {"ground_truth": "improved", "target": (352, 1216)}
    found = teacher_protocol(spec, metric=True, crop=(352, 1216), fixed_scaling=0.0, **common)
    assert found["scaling"] == "none" and found["size"] == [352, 1216] and found["ground_truth"] == "improved"
    assert found["crop"] == "garg and 352 rows at the bottom, 1216 columns in the middle"
    assert teacher_protocol(spec, metric=True, crop=(), fixed_scaling=25.0, **common)["scaling"] == "fixed 25"
    found = teacher_protocol(spec, metric=False, crop=(), fixed_scaling=0.0, **common)
    assert found["crop"] == "garg" and found["scaling"].startswith("least squares per image")
