"""Colours: the published pictures, and what must hold whatever the numbers are."""

import re

import numpy as np
import pytest
import torch

from dataloader import labels
from tests import golden
from visual.colour import CLASS_COLOURS, class_image, class_table, depth_image, normals_image, plasma, probability_image


def numbers(pattern: str, text: str) -> list[int]:
    return [int(group) for group in re.search(pattern, text).groups()]


def uniform_in(text: str) -> np.ndarray:
    """The random array an expression asks for."""
    return golden.uniform(*map(int, re.search(r"uniform\(([\d,]+)\)", text)[1].split(",")))


def test_pictures_match_the_published_code():
    meta, want = golden.load("sgdepth_colors")
    inputs, tolerance = meta["inputs"], {"rtol": 0, "atol": meta["tolerance"]}
    offset, factor = numbers(r"^(\d+)\+(\d+)\*", inputs["depth"])
    depth = np.float32(offset) + np.float32(factor) * uniform_in(inputs["depth"])
    probabilities = uniform_in(inputs["probabilities"])
    levels, void, ignored = numbers(r"floor\((\d+)\*.*\), (\d+) -> (\d+)", inputs["ids"])
    ids = np.floor(levels * uniform_in(inputs["ids"])).astype(np.uint8)
    ids[ids == void] = ignored
    found = {
        "depth_image": depth_image(torch.from_numpy(depth)),
        "prob_image": probability_image(torch.from_numpy(probabilities / probabilities.sum(1, keepdims=True))),
        "idx_image": class_image(torch.from_numpy(ids)),
        "normal_image": normals_image(torch.from_numpy(2 * uniform_in(inputs["normals"]) - 1)),
    }
    for name, picture in found.items():
        np.testing.assert_allclose(picture.numpy(), want[name], err_msg=name, **tolerance)


def test_plasma_runs_from_dark_blue_to_yellow_and_stays_there():
    colours = plasma(torch.tensor([0.0, 1.0, 7.0]).view(1, 1, 1, 3))[0, :, 0].T
    np.testing.assert_allclose(colours[0], [0.050383, 0.029803, 0.527975], atol=1e-6)
    np.testing.assert_allclose(colours[1:], [[0.940015, 0.975158, 0.131326]] * 2, atol=1e-6)


def test_plasma_is_linear_between_two_entries():
    low, middle, high = plasma(torch.tensor([10.0, 10.5, 11.0]).view(1, 1, 1, 3) / 256)[0, :, 0].T
    np.testing.assert_allclose(middle, (low + high) / 2, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-2, 1.0, 1e2])
def test_depth_colours_ignore_scale_and_neighbours_in_the_batch(factor):
    depth = torch.rand(3, 1, 12, 20, generator=torch.Generator().manual_seed(0)) * 50 + 2
    together = depth_image(depth)
    assert together.shape == (3, 3, 12, 20)
    np.testing.assert_allclose(depth_image(depth[1:2] * factor)[0], together[1], atol=5e-3)


def test_sparse_depth_is_black_where_unmeasured_and_else_as_if_dense():
    depth = torch.rand(2, 1, 10, 10, generator=torch.Generator().manual_seed(1)) * 50 + 2
    sparse = torch.zeros(2, 1, 20, 10)
    sparse[:, :, ::2] = depth
    found = depth_image(sparse, sparse > 0)
    assert torch.equal(found[:, :, 1::2], torch.zeros(2, 3, 10, 10))
    np.testing.assert_allclose(found[:, :, ::2], depth_image(depth), atol=1e-6)


def test_an_image_without_any_measurement_is_black():
    depth = torch.zeros(1, 1, 5, 5)
    assert not depth_image(depth, depth > 0).any()


def test_ids_without_a_class_are_black():
    found = class_image(torch.tensor([[[0, 18, 19, 20, 255]]], dtype=torch.uint8))[0, :, 0].T * 255
    assert found.round().tolist() == [[128, 64, 128], [119, 11, 32], [0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_class_colours_are_those_of_the_label_table():
    assert CLASS_COLOURS == tuple(colour for *_, colour in labels.CLASSES)


def test_certain_probabilities_have_the_colour_of_the_class():
    ids = torch.arange(20).view(1, 4, 5)
    certain = torch.nn.functional.one_hot(ids, 20).permute(0, 3, 1, 2).float()
    np.testing.assert_allclose(probability_image(certain), class_image(ids), atol=1e-6)


def test_probabilities_of_more_channels_than_classes_stay_in_range():
    found = probability_image(torch.full((1, 30, 2, 2), 1 / 30))
    assert 0 < found.min() and found.max() < 1


def test_normals_towards_the_camera_are_blue_and_the_edge_is_repeated():
    normals = torch.tensor([0.0, 0.0, 1.0]).expand(1, 3, 4, 3)
    found = normals_image(normals)
    assert found.shape == (1, 3, 4, 5)
    np.testing.assert_allclose(found[0, :, -1, -1], [0.5, 0.5, 1])


def test_the_class_table_is_not_changed_by_its_users():
    class_image(torch.zeros(1, 2, 2, dtype=torch.long)).mul_(0)
    assert class_table()[0].tolist() == [128, 64, 128]
