"""Depth aligned by what a network knows of it, from images as they are, cropped where the network looks at a part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from errors import UserError
from evaluation.alignment import alignment_of, fitted
from evaluation.depth import DepthResult, evaluate_depth
from evaluation.protocols import DEPTH_PROTOCOLS, DepthProtocol
from perspective_resample.depth import DepthMap, Known
from perspective_resample.input_view import InputView

OWN_SIZE = replace(DEPTH_PROTOCOLS["kitti_kitti"], view=InputView(resized=False))


def make_batch(*depths: np.ndarray, image: tuple[int, int] = ()) -> SimpleNamespace:
    """A batch whose images show the depth in their red channel, so that a stand-in can look it up."""
    truth = []
    for number, depth in enumerate(depths):
        pixels = np.zeros((*(image or depth.shape), 3), np.uint8)
        if not image:
            pixels[..., 0] = depth.astype(np.uint8)
        truth.append(SimpleNamespace(name=f"image {number}", image=pixels, depth=depth))
    inputs = {0: torch.zeros(len(depths), 3, 8, 8)}
    return SimpleNamespace(spec=SimpleNamespace(domain="test_depth"), inputs=inputs, truth=tuple(truth))


def scene(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.RandomState(seed).randint(3, 70, (height, width)).astype(np.float32)


def seen(rgb: Tensor) -> Tensor:
    """The right depth, from the red channel: (B, 3, h, w) -> (B, 1, h, w)."""
    return rgb[:, :1] * 255


def says(answer: Callable[[Tensor], Tensor], known: Known, inverse: bool = True) -> Callable[[Tensor], object]:
    return lambda rgb: SimpleNamespace(depth=DepthMap(answer(rgb), inverse, known))


def judge(
    answer: Callable[[Tensor], Tensor],
    known: Known,
    *depths: np.ndarray,
    protocol: DepthProtocol = OWN_SIZE,
    inverse: bool = True,
    **options: object,
) -> DepthResult:
    return evaluate_depth(says(answer, known, inverse), [make_batch(*depths)], protocol, **options)


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (250.0, 3.0), (0.01, -0.2)])
def test_scale_and_shift_do_not_count_where_neither_is_known(scale, shift):
    result = judge(lambda rgb: scale / seen(rgb) + shift, "up to scale and shift", scene(1), scene(2))
    np.testing.assert_allclose(result.metrics["abs_rel"], 0, atol=1e-4)
    assert result.metrics["a1"] == 1 and len(result.names) == 2
    assert result.alignment == "least squares" and not result.scaled and "ratio_median" not in result.scalars()


def test_alignment_is_the_line_that_numpy_fits_to_inverse_depth_over_valid_pixels():
    depth = scene(3)
    index = np.flatnonzero(np.random.RandomState(4).random_sample(depth.shape) < 0.3)
    inverse = np.random.RandomState(5).random_sample(depth.shape).astype(np.float32) * 40
    target = depth.reshape(-1)[index]
    scale, shift = np.polyfit(inverse.reshape(-1)[index].astype(np.float64), 1 / target.astype(np.float64), 1)
    found = fitted(*map(torch.from_numpy, (inverse, target, index)))
    np.testing.assert_allclose(found.numpy(), scale * inverse + shift, rtol=1e-5)


def test_a_constant_answer_and_no_truth_at_all_stay_finite():
    depth = torch.from_numpy(scene(6))
    found = fitted(torch.full(depth.shape, 3.0), depth.flatten(), torch.arange(depth.numel()))
    np.testing.assert_allclose(found.numpy(), (1 / depth).mean(), rtol=1e-5)
    assert (fitted(torch.rand(depth.shape), depth[:0, 0], torch.arange(0)) == 0).all()
    nothing = np.zeros((40, 60), np.float32)
    result = judge(lambda rgb: 1 / seen(rgb).clamp_min(1), "up to scale and shift", scene(7), nothing)
    assert result.skipped == 1 and len(result.names) == 1
    with pytest.raises(UserError, match="none of 1 images"):
        judge(lambda rgb: 1 / seen(rgb).clamp_min(1), "up to scale and shift", nothing)


def test_aligned_depth_ends_at_the_far_end_of_the_clamp():
    drawn = []
    depth = scene(8)
    depth[0, 0] = 0  # not measured, and the network says: behind infinity
    judge(
        lambda rgb: (1 / seen(rgb)).where(rgb[:, :1] > 0, -10.0),
        "up to scale and shift",
        depth,
        on_image=lambda position, truth, found, _: drawn.append(found.numpy()),
    )
    assert drawn[0][0, 0] == 80
    np.testing.assert_allclose(drawn[0][1:], depth[1:], rtol=1e-4)


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("fixed, error", [(0.0, 0.5), (2.0, 0.0)])
def test_metres_are_left_as_they_are_unless_told_otherwise(fixed, error, inverse):
    def half(rgb: Tensor) -> Tensor:
        return 2 / seen(rgb) if inverse else seen(rgb) / 2

    result = judge(half, "metres", scene(9), inverse=inverse, fixed_scaling=fixed)
    np.testing.assert_allclose(result.metrics["abs_rel"], error, atol=1e-6)
    assert result.ratios.tolist() == [fixed or 1.0] and not result.scaled


def test_metres_are_scaled_by_the_median_where_a_protocol_asks_for_it():
    protocol = replace(OWN_SIZE, alignment="median")
    result = judge(lambda rgb: seen(rgb) / 2, "metres", scene(9), protocol=protocol, inverse=False)
    assert result.ratios.tolist() == [2.0] and result.metrics["abs_rel"] < 1e-6 and result.scaled


@pytest.mark.parametrize(
    ("known", "asked", "fixed", "expected"),
    [
        ("metres", "auto", 0.0, "none"),
        ("metres", "auto", 2.0, "fixed"),
        ("metres", "median", 0.0, "median"),
        ("up to scale", "auto", 0.0, "median"),
        ("up to scale", "auto", 31.5, "fixed"),
        ("up to scale", "least squares", 0.0, "least squares"),
        ("up to scale and shift", "auto", 0.0, "least squares"),
    ],
)
def test_what_is_known_says_how_to_align_unless_the_protocol_does(known, asked, fixed, expected):
    assert alignment_of(known, asked, fixed) == expected


def test_a_fixed_scaling_of_what_knows_no_metres_is_refused():
    with pytest.raises(UserError, match="--depth-validation-fixed-scaling: the network knows no metres"):
        judge(lambda rgb: 1 / seen(rgb), "up to scale and shift", scene(1), fixed_scaling=2.0)


@pytest.mark.parametrize("asked", ["none", "median"])
def test_what_needs_a_shift_gets_one_whatever_is_asked_for(asked):
    with pytest.raises(UserError, match=f"--depth-alignment {asked}: the network knows no metres"):
        alignment_of("up to scale and shift", asked, 0.0)


@pytest.mark.parametrize("inverse", [True, False])
def test_a_network_with_a_crop_sees_and_answers_for_its_crop_alone(inverse):
    sizes = []

    def look(rgb: Tensor) -> Tensor:
        sizes.append(tuple(rgb.shape))
        return 1 / seen(rgb) if inverse else seen(rgb)

    depth = scene(10)
    inside = np.zeros(depth.shape, bool)
    inside[10:, 5:55] = True
    drawn = []
    options = {"protocol": replace(OWN_SIZE, view=InputView(resized=False, crop=(30, 50))), "inverse": inverse}
    result = judge(
        look, "metres", depth, on_image=lambda position, truth, found, _: drawn.append(found.numpy()), **options
    )
    assert sizes == [(1, 3, 30, 50)] and result.metrics["abs_rel"] < 1e-6
    np.testing.assert_allclose(drawn[0][inside], depth[inside], rtol=1e-5)
    assert drawn[0].shape == depth.shape and (drawn[0][~inside] == 80).all()
    with pytest.raises(UserError):  # truth outside the crop alone
        judge(look, "metres", np.where(inside, 0, depth).astype(np.float32), **options)


def test_the_published_crop_of_kitti():
    view = InputView(resized=False, crop=(352, 1216))
    assert view.window((375, 1242)) == (slice(23, 375), slice(13, 1229))
    assert view.window((370, 1226)) == (slice(18, 370), slice(5, 1221))
    assert view.window((64, 128)) == (slice(0, 64), slice(0, 128))
    assert InputView(resized=False).window((64, 128)) == (slice(0, 64), slice(0, 128))
    depth = np.full((375, 1242), 10, np.float32)
    protocol = replace(DEPTH_PROTOCOLS["kitti_zhou"], view=view)
    result = judge(lambda rgb: torch.full_like(rgb[:, :1], 0.1), "metres", depth, protocol=protocol)
    assert result.metrics["abs_rel"] < 1e-6
    counted = protocol.counted(depth, depth.shape)
    assert 0 < len(counted) <= protocol.valid(depth).sum()


def test_truth_of_another_size_than_the_image():
    view = InputView(resized=False, crop=(30, 40))
    batch = make_batch(np.full((20, 30), 5, np.float32), image=(40, 60))
    predict = says(lambda rgb: torch.full_like(rgb[:, :1], 0.2), "metres")
    result = evaluate_depth(predict, [batch], replace(OWN_SIZE, view=view))
    assert result.metrics["abs_rel"] < 0.2  # the edge of the crop is mixed with what lies outside
    inside = view.inside((20, 30), (40, 60))
    assert inside.sum() == 15 * 20 and inside[5:, 5:25].all()
