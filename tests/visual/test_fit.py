"""Images of any shape before a network of one shape, and what its map shows of them."""

from __future__ import annotations

import numpy as np
import pytest

from visual.fit import Fit, network_input

SIZE = (64, 192)


def image(height: int, width: int) -> np.ndarray:
    """Rows and columns can be read off the colours."""
    found = np.zeros((height, width, 3), np.uint8)
    found[..., 0] = np.linspace(0, 255, height)[:, None]
    found[..., 1] = np.linspace(0, 255, width)
    return found


def test_squash_is_the_published_way():
    photo = image(90, 120)
    view = Fit("squash", SIZE)(photo)
    assert view.image is photo and (view.pixels == network_input(photo, SIZE)).all()
    assert view.pixels[view.inside].shape == (*SIZE, 3)


@pytest.mark.parametrize("height, width, shown", [(90, 120, (64, 85)), (30, 300, (19, 192)), (200, 50, (64, 16))])
def test_pad_shows_the_whole_image_in_its_shape_with_its_edges_repeated(height, width, shown):
    photo = image(height, width)
    view = Fit("pad", SIZE)(photo)
    assert view.pixels.shape == (*SIZE, 3) and view.image is photo
    inside = view.pixels[view.inside]
    assert inside.shape == (*shown, 3) and (inside == network_input(photo, shown)).all()
    rows, columns = view.inside
    assert (view.pixels[: rows.start] == inside[:1].repeat(1, 0)[:, :1]).all() or rows.start == 0 or shown[1] == 192
    assert (view.pixels[rows, : columns.start] == inside[:, :1]).all()
    assert abs(rows.start - (SIZE[0] - rows.stop)) <= 1 and abs(columns.start - (SIZE[1] - columns.stop)) <= 1


@pytest.mark.parametrize("height, width, kept", [(90, 120, (40, 120)), (30, 300, (30, 90)), (200, 50, (17, 50))])
def test_crop_shows_the_middle_in_the_shape_of_the_network(height, width, kept):
    photo = image(height, width)
    view = Fit("crop", SIZE)(photo)
    top, left = view.corner
    assert view.image.shape[:2] == kept and view.pixels.shape == (*SIZE, 3)
    assert (view.image == photo[top : top + kept[0], left : left + kept[1]]).all()
    assert abs(2 * top + kept[0] - height) <= 1 and abs(2 * left + kept[1] - width) <= 1


@pytest.mark.parametrize(
    "fit, height, width, expected",
    [
        (Fit("multiple", (192, 640)), 375, 1242, (192, 640)),
        (Fit("multiple", (192, 640)), 1600, 1200, (416, 288)),
        (Fit("multiple", (192, 640)), 10, 1000, (64, 3520)),
        (Fit("multiple", (), divisor=16), 375, 1242, (368, 1248)),
        (Fit("multiple", ()), 480, 640, (480, 640)),
        (Fit("multiple", (), divisor=14), 20, 30, (70, 70)),
        (Fit("own", ()), 37, 51, (37, 51)),
        (Fit("height", (352, 704)), 375, 1242, (352, 1152)),
        (Fit("height", (352, 704)), 1000, 10, (352, 32)),
    ],
)
def test_multiple_keeps_the_shape_at_the_nearest_legal_size(fit, height, width, expected):
    assert fit(image(height, width)).pixels.shape[:2] == expected


def test_a_portrait_before_a_landscape_network_gets_one_sentence_of_advice():
    fit = Fit("squash", (192, 640))
    assert "--fit crop" in fit.advice(1600, 1200) and "1200x1600" in fit.advice(1600, 1200)
    assert not fit.advice(375, 1242) and not Fit("crop", (192, 640)).advice(1600, 1200)
