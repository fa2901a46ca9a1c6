"""Pictures that commands write."""

import re

import cv2
import numpy as np
import pytest

from tests import golden
from visual.pictures import LEAST_TITLED, Look, encode, inference_picture


def draw_levels(text: str) -> np.ndarray:
    """What an expression "floor(levels*uniform(seed,size...))" stands for, uint8."""
    levels, arguments = re.search(r"floor\((\d+)\*uniform\(([\d,hw]+)\)\)", text).groups()
    return np.floor(int(levels) * golden.uniform(*map(int, arguments.split(",")))).astype(np.uint8)


def test_inference_picture_matches_the_published_one():
    meta, want = golden.load("sgdepth_inference")
    size = ",".join(map(str, meta["inputs"]["network size"]))
    inputs = {
        key: text if isinstance(text, list) else text.replace("h,w", size) for key, text in meta["inputs"].items()
    }
    repeat = int(re.search(r"repeated (\d+)x", inputs["image (RGB, uint8)"])[1])
    image = draw_levels(inputs["image (RGB, uint8)"]).repeat(repeat, 0).repeat(repeat, 1)
    ids = draw_levels(inputs["segmentation ids"])[0]
    offset, factor, seed, *size = re.match(
        r"([\d.]+)\+([\d.]+)\*uniform\((\d+),1,1,(\d+),(\d+)", inputs["disparity"]
    ).groups()
    disp = np.float32(offset) + np.float32(factor) * golden.uniform(int(seed), *map(int, size))
    low, high = map(float, inputs["depth range"].split(".."))
    inv_depth = (1 / high + (1 / low - 1 / high) * disp).astype(np.float32)
    found = inference_picture(image, inv_depth, ids)[..., ::-1].astype(int)
    difference = np.abs(found - want["written"])
    assert difference[: 2 * len(image)].max() == 0
    assert difference.max() <= 2


def test_inference_picture_takes_void_and_unknown_ids_and_none():
    image = np.full((6, 9, 3), 7, np.uint8)
    inv_depth = np.ones((2, 3), np.float32)
    picture = inference_picture(image, inv_depth, np.full((2, 3), 19, np.uint8))
    assert picture.shape == (18, 9, 3) and not picture[6:12].any()
    assert inference_picture(image, inv_depth, None).shape == (12, 9, 3)


def test_a_fixed_range_gives_equal_disparities_equal_colours():
    image = np.zeros((4, 4, 3), np.uint8)
    near, far = np.full((2, 2), 3.0, np.float32), np.full((2, 2), 3.0, np.float32)
    near[0, 0] = 12.0
    pictures = [inference_picture(image, inv_depth, None, maximum=6.0) for inv_depth in (near, far)]
    assert (pictures[0][-1, -1] == pictures[1][-1, -1]).all()
    brightest = cv2.applyColorMap(np.full((1, 1), 255, np.uint8), cv2.COLORMAP_PLASMA)[0, 0, ::-1]
    assert (pictures[0][4, 0] == brightest).all()


def test_disparity_of_zero_is_drawn():
    assert inference_picture(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2), np.float32), None).shape == (8, 4, 3)


def test_encode_keeps_the_order_of_colours_and_names_what_does_not_fit():
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 200
    decoded = cv2.imdecode(np.frombuffer(encode(picture, ".png"), np.uint8), cv2.IMREAD_COLOR)
    assert decoded[0, 0].tolist() == [0, 0, 200]
    with pytest.raises(ValueError, match="70000x1 pixels .* .jpg"):
        encode(np.zeros((1, 70000, 3), np.uint8), ".jpg")


@pytest.mark.parametrize("unit", ["m", "m up to scale", ""])
def test_a_bar_goes_below_pictures_of_any_width(unit):
    look = Look(layout="only", bar=True, unit=unit)
    for width in (1, 2, 9, 20, LEAST_TITLED - 1, LEAST_TITLED, 40):
        picture = inference_picture(np.zeros((3, width, 3), np.uint8), np.ones((3, width), np.float32), None, look=look)
        assert picture.shape[0] > 3 and picture.shape[1:] == (width, 3)
