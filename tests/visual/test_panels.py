"""TensorBoard images: size, order, range."""

import pytest
import torch

from visual.colour import class_image, coloured, depth_image, dimmed
from visual.comparisons import error_bar
from visual.panels import (
    COLUMNS,
    LARGEST_PHOTOMETRIC,
    class_panel,
    depth_panel,
    error_panel,
    mask_overlay,
    mask_panel,
    measured_panel,
    photometric_panel,
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


def measured(count: int = 2, height: int = 40, width: int = 80) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, measurements of a tenth of their pixels, depth that is half as far again."""
    generator = torch.Generator().manual_seed(0)
    depth = 2 + 50 * torch.rand(count, 1, height, width, generator=generator)
    truth = depth.where(torch.rand(depth.shape, generator=generator) < 0.1, 0.0)
    return torch.rand(count, 3, height, width, generator=generator), truth, 1.5 * depth


def test_measured_depth_and_predictions_have_one_range():
    image, truth, depth = measured()
    truth[1] = 0
    panel = measured_panel(image, truth, depth / 1.5)
    first, found, dots = panel.split(40, dim=1)
    assert torch.equal(first[:, :, 80:], image[1])
    shown = truth[0, 0] > 0
    torch.testing.assert_close(found[:, :, :80][:, shown], dots[:, :, :80][:, shown])
    assert not dots[:, :, :80][:, ~shown].any()
    assert torch.equal(found[:, :, 80:], depth_image(depth[1:] / 1.5)[0]) and not dots[:, :, 80:].any()


def test_error_panel_colours_what_was_measured_and_explains_the_colours():
    image, truth, depth = measured()
    panel = error_panel(image, truth, depth)
    bar = error_bar(160)
    assert panel.shape == (3, 40 + len(bar), 160) and torch.equal(
        panel[:, 40:], torch.tensor(bar).permute(2, 0, 1) / 255
    )
    last = coloured(torch.ones(1, 1, 1, 1), "turbo").view(3, 1)
    assert torch.equal(panel[:, :40, :80][:, truth[0, 0] > 0], last.expand(3, int((truth[0] > 0).sum())))
    assert torch.equal(panel[:, :40, 80:][:, truth[1, 0] == 0], dimmed(image)[1][:, truth[1, 0] == 0])


def test_photometric_and_mask_panels_have_the_image_above():
    image = make_images(2, 40, 80)[0]
    error = torch.linspace(0, 1, 80).expand(2, 40, 80)
    panel = photometric_panel(image, error)
    assert panel.shape[1] > 80 and torch.equal(panel[:, :40, 80:], image[1])
    torch.testing.assert_close(panel[:, 40:80, :80], coloured(error[:1, None] / LARGEST_PHOTOMETRIC, "turbo")[0])
    keep = error > 0.5
    panel = mask_panel(image, keep)
    assert panel.shape == (3, 80, 160) and torch.equal(panel[:, 40:, :80], mask_overlay(image, keep)[0])


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
