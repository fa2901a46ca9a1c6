"""Split lists in text form."""

import pytest

from dataloader.listing import numbers_of
from dataloader.lists import Frame, parse_image_path, read_list
from errors import UserError
from tests.dataloader import tiny

FRAME = Frame(tiny.DRIVE, 7, 3)


@pytest.mark.parametrize(
    "line",
    [
        f"{tiny.DRIVE} 7 r",
        f"{tiny.DRIVE} 0000000007 3",
        f"{tiny.DRIVE}/image_03/data/0000000007.png",
        f"kitti/Raw_data/{tiny.DRIVE}/image_03/data/0000000007.jpg",
        f"Raw_data/{tiny.DRIVE}/image_03/data/0000000007.png".replace("/", "\\"),
        f"  {tiny.DRIVE}\t7  r ",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_both_line_forms_name_the_same_frame(tmp_path, line, end):
    path = tmp_path / "train_files.txt"
    path.write_bytes((line + end + end + line).encode())  # no final line end, one blank line
    assert read_list(path) == [FRAME, FRAME]


def test_odometry_lines_name_a_sequence(tmp_path):
    path = tmp_path / "test_files.txt"
    path.write_text("9 0 l\n09 1 2\nsequences/09/image_2/000002.png\n")
    assert read_list(path) == [Frame("09", 0), Frame("09", 1), Frame("09", 2)]


def test_order_and_repetition_are_kept(tmp_path):
    lines = [f"{tiny.DRIVE} {frame} l" for frame in (5, 1, 1, 3)]
    path = tiny.kitti_list(tmp_path, "train_files.txt", lines)
    assert [frame.number for frame in read_list(path)] == [5, 1, 1, 3]


@pytest.mark.parametrize(
    "line",
    [
        f"{tiny.DRIVE} 7",
        f"{tiny.DRIVE} x l",
        f"{tiny.DRIVE} 7 m",
        f"{tiny.DRIVE} -1 l",
        "picture.png",
        "a b c d",
        f"{tiny.DRIVE} 7 l extra",
        "/ 7 l",
    ],
)
def test_a_wrong_line_is_named_with_file_and_number(tmp_path, line):
    path = tiny.kitti_list(tmp_path, "train_files.txt", [f"{tiny.DRIVE} 7 l", line])
    with pytest.raises(UserError, match=r"train_files\.txt, line 2: "):
        read_list(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_empty_and_binary_lists_are_errors(tmp_path, content):
    path = tmp_path / "val_files.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"val_files\.txt"):
        read_list(path)


def test_paths_that_are_no_kitti_images_name_no_frame():
    assert parse_image_path("leftImg8bit/train/a/a_000000_000019_leftImg8bit.png") is None


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("0000000012.png", (12,)),
        ("shot_2_frame-0034.jpg", (2, 34)),
        ("7a.png", (7,)),
        ("clip.png", ()),
        ("v1.2.png", (1, 2)),
        ("1305031102.175304.png", (1305031102, 175304)),
        ("a.mp4", ()),
    ],
)
def test_all_numbers_in_a_file_name_count(name, numbers):
    assert numbers_of(name) == numbers
