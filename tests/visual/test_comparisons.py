"""Pictures that evaluation writes."""

import numpy as np
import pytest
import torch

from visual.colour import as_dots, class_table, coloured, depth_image, dot_size, error_image
from visual.comparisons import LARGEST_ERROR, depth_comparison, error_bar, segmentation_comparison, titled
from visual.pictures import Look, colour_bar

NAMES = ("road", "sidewalk", "building")


def sparse(height: int = 40, width: int = 120, seed: int = 0) -> np.ndarray:
    """Depth of 2 to 60 m for a tenth of the pixels."""
    draw = np.random.RandomState(seed)
    depth = draw.uniform(2, 60, (height, width)).astype(np.float32)
    return np.where(draw.uniform(size=depth.shape) < 0.1, depth, 0).astype(np.float32)


def parts(picture: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """Image, prediction, truth, their bar, errors, their bar."""
    bars = [len(colour_bar(width, (0, 1), Look(unit="m"))), len(error_bar(width))]
    ends = np.cumsum([height, height, height, bars[0], height, bars[1]])
    assert picture.shape == (ends[-1], width, 3) and picture.dtype == np.uint8
    return np.split(picture, ends[:-1])


def test_prediction_and_truth_have_one_range_and_only_what_counts_makes_it():
    truth = sparse()
    counted = np.flatnonzero((truth > 10) & (truth < 50))
    image = np.full((40, 120, 3), 90, np.uint8)
    depth = torch.from_numpy(np.where(truth > 0, truth, 30.0)).float()
    first, found, dots, bar, errors, _ = parts(depth_comparison(image, depth, truth, counted), 40, 120)
    assert (first == image).all()
    assert (found[truth > 0] == dots[truth > 0]).all() and not dots[truth == 0].any()  # narrow: dots of one pixel
    near = np.percentile(1 / truth.reshape(-1)[counted], 95, method="higher")
    end = float(1 / truth.reshape(-1)[counted].min())
    assert near < end and (bar == colour_bar(120, (0.0, near), Look(unit="m"))).all()
    exact = (coloured(torch.zeros(1, 1, 1, 1), "turbo").view(3) * 255).round().numpy()
    assert (errors.reshape(-1, 3)[counted] == exact).all()
    others = np.setdiff1d(np.arange(truth.size), counted)
    assert (errors.reshape(-1, 3)[others] == 36).all()  # the image, grey and dark


def test_the_colour_of_an_error_is_its_share_of_the_largest():
    truth = torch.full((1, 1, 4, 6), 10.0)
    depth = truth * (1 + LARGEST_ERROR * torch.tensor([0.0, 0.5, -0.5, 1.0, 2.0, -1.0]))
    found = error_image(torch.zeros(1, 3, 4, 6), depth, truth, LARGEST_ERROR, 1)
    expected = coloured(torch.tensor([0.0, 0.5, 0.5, 1.0, 1.0, 1.0]).view(1, 1, 1, 6), "turbo")
    torch.testing.assert_close(found, expected.expand(1, 3, 4, 6), atol=1e-3, rtol=0)


def test_sparse_measurements_are_dots_with_the_nearest_in_front():
    truth = torch.zeros(1, 1, 60, 1242)
    truth[0, 0, 20, 100], truth[0, 0, 20, 103], truth[0, 0, 40, 500] = 20.0, 5.0, 60.0
    size = dot_size(truth)
    dots, doubled = as_dots(size, truth, 2 * truth)
    assert size == 5 and (dots > 0).sum() == 5 * 8 + 25
    assert dots[0, 0, 20, 98:106].tolist() == [20, 20, 20, 5, 5, 5, 5, 5]
    assert torch.equal(doubled.nan_to_num(0.0), 2 * dots)
    assert dot_size(torch.ones(1, 1, 60, 1242)) == 1 and torch.equal(as_dots(1, truth)[0], truth)


def test_truth_may_lie_in_memory_in_any_order():
    truth = sparse()
    image, depth = np.zeros((40, 120, 3), np.uint8), torch.rand(40, 120) + 1
    counted = np.flatnonzero(truth > 20)
    turned = np.asfortranarray(truth)
    assert (depth_comparison(image, depth, truth, counted) == depth_comparison(image, depth, turned, counted)).all()


def test_without_truth_that_counts_the_prediction_has_a_range_of_its_own():
    depth = torch.rand(40, 120, generator=torch.Generator().manual_seed(0)) + 1
    image = np.zeros((40, 120, 3), np.uint8)
    _, found, dots, bar, errors, _ = parts(
        depth_comparison(image, depth, np.zeros((40, 120), np.float32), np.zeros(0, np.int64)), 40, 120
    )
    alone = (depth_image(depth[None, None])[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    assert (found == alone).all() and not dots.any() and not errors.any()
    assert (bar == colour_bar(120, (0.0, 1.0), Look(unit="up to scale"))).mean() > 0.9  # but for its numbers


@pytest.mark.parametrize("size", [(32, 96), (128, 384), (50, 77)])
def test_comparisons_have_the_width_of_the_truth(size):
    image = np.full((64, 192, 3), 9, np.uint8)
    image[:32] = 200
    depth = depth_comparison(image, torch.rand(size) + 1, np.full(size, 7, np.float32), np.arange(4))
    classes = segmentation_comparison(image, torch.zeros(size, dtype=torch.uint8), np.zeros(size, np.uint8), NAMES)
    for picture in (depth, classes):
        assert picture.shape[1] == size[1] and len(picture) > 4 * size[0]
        assert (picture[: size[0] // 3] == 200).all() and (picture[size[0] * 2 // 3 : size[0]] == 9).all()


def test_segmentation_comparison_shows_classes_and_what_is_wrong():
    ids = np.zeros((30, 200), np.uint8)
    labels = ids.copy()
    ids[:10], labels[10:20], ids[20], labels[21:23] = 1, 2, 19, 255
    image = np.full((30, 200, 3), 100, np.uint8)
    picture = segmentation_comparison(image, torch.from_numpy(ids), labels, NAMES)
    first, found, truth, wrong, legend = np.split(picture, [30, 60, 90, 120])
    assert (first == image).all()
    assert (found == class_table().numpy()[ids]).all() and (truth == class_table().numpy()[labels]).all()
    assert (wrong[:21] == (255, 0, 0)).all() and not wrong[21:23].any() and (wrong[23:] == 40).all()
    colours = {tuple(colour) for colour in legend.reshape(-1, 3).tolist()}
    assert {*map(tuple, class_table()[:3].tolist()), (255, 0, 0)} <= colours


def test_a_title_stands_below_a_picture_and_of_a_long_one_the_end():
    picture = np.full((10, 60, 3), 7, np.uint8)
    short, long, end = (titled(picture, name) for name in ("a 3", "z" * 200 + "abc", "abc"))
    assert (short[:10] == 7).all() and short.shape == long.shape and short.shape[1] == 60
    assert (short[10:] < 128).any() and (long[10:] < 128).any()
    assert (titled(picture, "y" * 200 + "z" * 199 + "abc") == long).all() and (long != end).any()
