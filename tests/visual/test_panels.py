"""TensorBoard images: size, order, range."""

import pytest
import torch

from visual.colour import class_image, depth_image
from visual.panels import (
    COLUMNS,
    class_panel,
    depth_panel,
    mask_overlay,
    refinement_panel,
    segmentation_panel,
    teacher_panel,
)


def make_images(count: int, height: int = 6, width: int = 8) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(count, 3, height, width, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("count, columns", [(1, 1), (3, 3), (9, COLUMNS)])
def test_depth_panel_stacks_what_it_was_given(count, columns):
    target, before, after = make_images(count)
    depth = torch.rand(count, 1, 6, 8) + 1
    normals = torch.zeros(count, 5, 7, 3)
    panel = depth_panel(depth, normals, target, before, after, torch.ones(count, 1, 6, 8))
    assert panel.shape == (3, 6 * 6, columns * 8)
    assert torch.equal(panel[:, :6, :8], depth_image(depth)[0])
    for row, image in ((2, target), (3, before), (4, after), (5, target)):
        assert torch.equal(panel[:, row * 6 : row * 6 + 6, -8:], image[columns - 1])


def test_depth_panel_leaves_out_what_is_absent_and_clamps():
    target, before, after = make_images(2)
    panel = depth_panel(torch.ones(2, 1, 6, 8), None, target, before - 2, after + 2)
    assert panel.shape == (3, 4 * 6, 2 * 8)
    assert not panel[:, 12:18].any() and panel[:, 18:].min() == 1


def test_mask_overlay_reddens_only_what_is_dropped():
    image = make_images(1)[0]
    mask = torch.ones(1, 6, 8)
    mask[:, 2:4] = 0
    found = mask_overlay(image, mask)
    assert torch.equal(found[:, :, :2], image[:, :, :2]) and torch.equal(found[:, :, 4:], image[:, :, 4:])
    assert torch.allclose(found[:, 0, 2:4], (image[:, 0, 2:4] + 1) / 2)
    assert torch.allclose(found[:, 1:, 2:4], image[:, 1:, 2:4] / 2)


def test_segmentation_panel_shows_probabilities_truth_and_image():
    image = make_images(2)[0]
    labels = torch.randint(0, 19, (2, 6, 8), generator=torch.Generator().manual_seed(2))
    labels[:, 0] = 255
    logits = 100 * torch.nn.functional.one_hot(labels.clamp(max=19), 20).permute(0, 3, 1, 2).float()
    panel = segmentation_panel(logits, labels, image)
    assert panel.shape == (3, 18, 16)
    truth = class_image(labels)[1]
    assert torch.allclose(panel[:, :6, 8:], truth, atol=1e-5) and torch.equal(panel[:, 6:12, 8:], truth)
    assert torch.equal(panel[:, 12:, 8:], image[1])


def test_refinement_panel_shows_patches_disparities_and_weight():
    image = make_images(2)[0]
    outlines = torch.zeros(2, 1, 6, 8, dtype=torch.bool)
    outlines[:, :, 2] = True
    disp, refined = torch.rand(2, 1, 6, 8) + 0.1, torch.rand(2, 1, 6, 8) + 0.1
    panel = refinement_panel(image, outlines, disp, refined, torch.zeros(2, 1, 6, 8))
    assert panel.shape == (3, 24, 16)
    assert torch.equal(panel[:, :2, :8], image[0, :, :2]) and panel[0, 2].eq(1).all() and not panel[1:, 2].any()
    assert torch.equal(panel[:, 6:12, 8:], depth_image(1 / disp)[1])
    assert torch.equal(panel[:, 12:18, 8:], depth_image(1 / refined)[1])
    assert torch.equal(panel[:, 18:], panel[:, 18:19, :1].expand(3, 6, 16))


def test_class_panel_names_classes():
    image, ids = make_images(1)[0], torch.full((1, 6, 8), 255)
    ids[:, :, 4:] = 13
    panel = class_panel(image, ids)
    assert torch.equal(panel[:, :6], image[0]) and torch.equal(panel[:, 6:], class_image(ids)[0])
    assert not panel[:, 6:, :4].any() and panel[:, 6:, 4:].any()


def test_teacher_panel_colours_both_disparities_alike_and_reddens_what_does_not_learn():
    image, _, _ = make_images(6)
    disp = torch.rand(6, 1, 6, 8)
    counted = torch.ones(6, 1, 6, 8, dtype=torch.bool)
    counted[0, 0, 0, 0] = False
    panel = teacher_panel(image, disp, disp, counted)
    assert panel.shape == (3, 4 * 6, COLUMNS * 8) and torch.equal(panel[:, 6:12], panel[:, 12:18])
    assert torch.equal(panel[:, :6, :8], image[0]) and (panel[:, 18:] - panel[:, :6]).abs().amax(
        0
    ).nonzero().tolist() == [[0, 0]]
    assert not torch.equal(teacher_panel(image, disp, 2 * disp, counted)[:, 6:12], panel[:, 6:12])
