"""Pictures in another size, against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from perspective_resample.resize import bilinear_levels


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((480, 640), (360, 480)),
        ((352, 704), (264, 528)),
        ((427, 565), (480, 640)),
        ((33, 47), (24, 35)),
        ((20, 30), (20, 11)),
        ((20, 30), (20, 30)),
    ],
)
def test_bytes_are_pillows_to_the_last_bit(before, after):
    image = np.random.default_rng(0).integers(0, 256, (*before, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize(after[::-1], Image.Resampling.BILINEAR))
    found = bilinear_levels(torch.from_numpy(image).permute(2, 0, 1)[None], after)
    assert np.array_equal(found[0].permute(1, 2, 0).numpy(), expected)


def test_images_of_a_batch_do_not_mix():
    levels = torch.randint(0, 256, (3, 2, 16, 20))
    alone = torch.cat([bilinear_levels(one[None], (12, 15)) for one in levels])
    assert torch.equal(bilinear_levels(levels, (12, 15)), alone)
