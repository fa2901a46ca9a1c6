"""What the digits in the names of frames mean."""

import random

import pytest

from dataloader.numbering import have_decimals, in_order
from errors import UserError


def order(*stems: str) -> list[str]:
    names = [f"{stem}.png" for stem in stems]
    random.Random(0).shuffle(names)
    return [name.removesuffix(".png") for name in in_order("place", names)]


@pytest.mark.parametrize(
    "stems",
    [
        ("1551915398.0503", "1551915398.15", "1551915398.2", "1551915398.3", "1551915399.0"),
        ("0.25", "0.5"),
        ("1,25", "1,5"),
        ("t0.1s", "t0.15s", "t0.2s"),
        ("cam1_0.25", "cam1_0.5"),
        ("v1.2_0.25_rgb", "v1.2_0.5_rgb"),
        tuple(str(0.1 * number) for number in range(12)),  # 0.30000000000000004 ...
        ("5e-05", "0.0001", "0.1"),
        ("0.05", "0.10", "0.5"),  # as whole numbers 0.05 would be 0.5
    ],
)
def test_seconds_as_python_prints_them_are_decimal_numbers(stems):
    assert order(*stems) == list(stems)
    assert have_decimals([f"{stem}.png" for stem in stems])


@pytest.mark.parametrize(
    "stems",
    [
        ("cam1.2_9", "cam1.2_10"),
        ("12.59.58.9", "12.59.58.10"),
        ("12.59.58.1", "12.59.58.25", "12.59.59.3"),
        ("1305031102.175304", "1305031103.011100", "1305031110.500000"),
        ("1.1", "1.9", "1.10", "1.11"),  # as decimal numbers 1.10 would be 1.1
        ("take2_9", "take2_10", "take10_1"),
        ("2011-09-26", "2011-10-01"),
        ("frame-9", "frame-10"),  # a hyphen everywhere is no sign
        ("f_-1", "f_-2"),
        ("clip.3", "clip.15"),
    ],
)
def test_other_numbers_are_whole(stems):
    assert order(*stems) == list(stems)
    assert not have_decimals([f"{stem}.png" for stem in stems])


@pytest.mark.parametrize(
    ("stems", "readings"),
    [
        (
            ("1.8", "1.9", "1.10"),
            "as whole numbers 1.8.png, 1.9.png, 1.10.png, as decimal numbers 1.10.png, 1.8.png, 1.9.png",
        ),
        (("0", "0.2", "0.15"), "as whole numbers 0.2.png, 0.15.png, as decimal numbers 0.15.png, 0.2.png"),
        (("a0.5", "b0.25"), "as whole numbers a0.5.png, b0.25.png, as decimal numbers b0.25.png, a0.5.png"),
        (("f_-1", "f_0", "f_1"), "as whole numbers f_-1.png = f_1.png, with minus signs f_-1.png, f_0.png, f_1.png"),
        (("t-2", "t0", "t1"), "as whole numbers t0.png, t1.png, t-2.png, with minus signs t-2.png, t0.png, t1.png"),
        (("-0.5", "-0.25", "0.0"), "with minus signs -0.5.png, -0.25.png, 0.0.png"),
    ],
)
def test_what_remains_ambiguous_is_refused_with_both_readings(stems, readings):
    with pytest.raises(UserError) as error:
        order(*stems)
    assert readings in str(error.value) and "rename the frames" in str(error.value)
    assert "same number" not in str(error.value)
