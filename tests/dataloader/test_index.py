"""The published index files."""

import json

import pytest

from dataloader.index import Category, parse_index, read_index, resolve_index
from errors import UserError
from tests import golden

BASIC = parse_index(
    {
        "names": ["color", "velocity"],
        "files": [[f"a/{frame}.png" for frame in range(4)], [f"a/{frame}.png" for frame in range(4)]],
        "positions": [[[frame, frame, 3 - frame, frame] for frame in range(4)]] * 2,
        "numerical_values": [None, [0.0, 1.5, 3.0, 4.5]],
    },
    "basic",
)


@pytest.mark.parametrize(
    "case",
    [
        "left_video",
        "right_video",
        "mono_depth",
        "mono_depth_improved",
        "video_color_depth_improved",
        "stereo",
        "numeric_video",
    ],
)
def test_requests_resolve_as_in_the_published_code(case):
    meta, _ = golden.load("sgdepth_index")
    basic = parse_index(meta["kitti/basic_files.json"], "basic_files.json")
    split = parse_index(meta["kitti_zhou_split/train.json"], "train.json")
    wanted = meta["expected"][case]
    given = wanted["arguments"]
    video = given.get("keys_to_video", ()) if given["video_mode"] == "video" else ()
    found = resolve_index(
        split,
        basic,
        load=given["keys_to_load"],
        video=video,
        frames=given["video_frames"],
        stereo=given.get("stereo_mode") == "stereo",
    )
    assert list(found.items()) == [(tuple(key), items) for key, items in wanted["data"]]
    assert len(next(iter(found.values()))) == wanted["length"]


def test_no_case_of_the_published_index_goes_untested():
    meta, _ = golden.load("sgdepth_index")
    assert len(meta["expected"]) == 7


def test_neighbours_come_from_the_whole_data_set_and_sequence_ends_drop_out():
    split = {"color": Category(["a/0.png", "a/2.png"], [(0, 0, 3, 0), (2, 2, 1, 2)])}
    found = resolve_index(split, BASIC, load=["color"], video=["color"], frames=(0, -1, 1))
    assert found == {("color", 0, -1): ["a/2.png"], ("color", -1, -1): ["a/1.png"], ("color", 1, -1): ["a/3.png"]}


def test_only_frames_that_every_category_has_remain():
    split = {
        "color": Category(["0", "1", "2"], [(row, 0, 0, row) for row in range(3)]),
        "depth": Category(["d1"], [(1, 0, 0, 0)]),
    }
    assert resolve_index(split, {}, load=["color", "depth"]) == {("color", 0, -1): ["1"], ("depth", 0, -1): ["d1"]}


def test_unsorted_index_files_are_joined_by_position():
    rows = [(2, 2, 0, 2), (0, 0, 2, 0), (1, 1, 1, 1)]
    split = {"color": Category(["c2", "c0", "c1"], rows), "depth": Category(["d1", "d2"], [(1, 0, 1, 0), (2, 1, 0, 1)])}
    found = resolve_index(split, {}, load=["depth", "color"])
    assert found == {("color", 0, -1): ["c1", "c2"], ("depth", 0, -1): ["d1", "d2"]}


def test_values_of_neighbours_come_from_the_numerical_values():
    split = {"velocity": Category([1.5], [(1, 1, 2, 1)])}
    found = resolve_index(split, BASIC, load=["velocity"], video=["velocity"], frames=(0, 1))
    assert found == {("velocity", 0, -1): [1.5], ("velocity", 1, -1): [3.0]}


def test_backslashes_and_unknown_keys_do_no_harm(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(
        json.dumps(
            {
                "names": ["color"],
                "files": [["Raw_data\\d\\0.png"]],
                "positions": [[[0, 0, 0, 0]]],
                "folders": "damaged",
                "future": {"x": 1},
            }
        )
    )
    assert read_index(path)["color"].items == ["Raw_data/d/0.png"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"names": ["color"]}',
        '{"names": ["color"], "files": [["a"]], "positions": [[[0, 0, 0]]]}',
        '{"names": ["color"], "files": [["a", "b"]], "positions": [[[0, 0, 0, 0]]]}',
        '{"names": ["color", "depth"], "files": [["a"]], "positions": [[[0, 0, 0, 0]]]}',
        '{"names": ["color"], "files": [["a"]], "positions": [null]}',
        "\x00\xff",
    ],
)
def test_a_damaged_index_is_named(tmp_path, content):
    path = tmp_path / "train.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"train\.json: "):
        read_index(path)


def test_index_files_that_do_not_belong_together_are_found_out():
    split = {"color": Category(["a/9.png"], [(9, 9, 5, 9)])}
    with pytest.raises(UserError, match=r"basic_files\.json: 4 entries for color"):
        resolve_index(split, BASIC, load=["color"], video=["color"], frames=(0, 1))


def drives(*names: str, count: int = 3) -> Category:
    """Images of KITTI drives of `count` frames each, as in the index of a whole data set."""
    paths = [f"{name}/image_02/data/{frame:010d}.png" for name in names for frame in range(count)]
    rows = [(row, row % count, count - 1 - row % count, row) for row in range(len(paths))]
    return Category([f"2011_09_26/2011_09_26_drive_{path}" for path in paths], rows)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (drives("0002_sync", "0005_sync"), r"entry 1 of color is '.*drive_0002_sync.*', in a split it is '.*_0001_"),
        (drives("0001_sync", count=2), r"entry 1 of color, '.*0001\.png', has no neighbour \+1 there"),
    ],
)
def test_neighbours_of_other_drives_are_none_though_their_file_names_agree(changed, message):
    split = drives("0001_sync")
    split = {"color": Category(split.items[1:2], split.positions[1:2])}
    wider = drives("0005_sync", count=1)  # what follows in the list
    whole = Category([*changed.items, *wider.items], [*changed.positions, *wider.positions])
    with pytest.raises(UserError, match=rf"basic_files\.json: {message}"):
        resolve_index(split, {"color": whole}, load=["color"], video=["color"], frames=(0, -1, 1))


def test_folders_may_be_spelled_otherwise_in_the_whole_data_set():
    whole = drives("0001_sync", "0002_sync")
    split = {"color": Category([f"Raw_data/{whole.items[4]}"], [(4, 1, 1, 4)])}
    found = resolve_index(split, {"color": whole}, load=["color"], video=["color"], frames=(0, 1))
    assert found["color", 1, -1] == [whole.items[5]]
