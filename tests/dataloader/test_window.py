"""Windows of images: which pixels, and what becomes of the camera."""

import numpy as np
import pytest

from dataloader.catalog import NYU_CAMERA, find_loader
from dataloader.window import PixelWindow

C1 = PixelWindow(rows=(710, 1562), columns=(0, 1704), of=(2272, 1704))


def test_the_window_of_make3d_is_that_of_its_protocol_in_image_and_laser_grid():
    window = find_loader("depth", "make3d_test").window
    assert window == C1
    assert window.box((2272, 1704)) == (0, 710, 1704, 1562)
    assert window.slices((55, 305)) == (slice(17, 38), slice(0, 305))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (480, 640), (481, 639)])
def test_no_window_is_empty_or_leads_out(size):
    for window in (C1, PixelWindow(rows=(44, 471), columns=(40, 601), of=(480, 640))):
        rows, columns = window.slices(size)
        assert 0 <= rows.start < rows.stop <= size[0] and 0 <= columns.start < columns.stop <= size[1]


def test_a_point_keeps_its_pixel_when_the_image_is_cut():
    window, (height, width) = find_loader("depth", "nyu_v2_struct_test").window, (480, 640)
    fx, fy, cx, cy = window.intrinsics(NYU_CAMERA, (height, width))
    whole = np.array(NYU_CAMERA) * (width, height, width, height)
    assert np.allclose((fx * 561, fy * 427, cx * 561 + 40, cy * 427 + 44), whole)
