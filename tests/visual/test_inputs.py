"""Words of the command line to images and videos, each with a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from errors import UserError
from visual.inputs import find_inputs, output_names


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """in/a.png in/b.JPG in/notes.txt in/clip.mp4 in/shot.heic in/.hidden.png in/deep/a.png in/deep/.x/b.png"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as where the extra is not installed
    for name in "a.png b.JPG notes.txt clip.mp4 shot.heic .hidden.png deep/a.png deep/.x/b.png".split():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("in")


def found(*words: str, recursive: bool = False) -> dict[str, str]:
    inputs = find_inputs(words, recursive)
    return {path.as_posix(): name for path, name in (inputs.images | inputs.videos).items()}


def test_a_folder_gives_its_images_and_says_what_it_leaves_out(photos):
    inputs = find_inputs(["in"], recursive=False)
    assert {path.as_posix(): name for path, name in inputs.images.items()} == {"in/a.png": "a", "in/b.JPG": "b"}
    assert not inputs.videos
    told = "\n".join(inputs.left_out)
    assert "notes.txt (no images)" in told and "clip.mp4 (videos" in told and "pillow-heif" in told
    assert ".hidden" not in told and len(inputs.left_out) == 3


def test_photos_of_telephones_are_taken_where_they_can_be_read(photos, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    inputs = find_inputs(["in"], recursive=False)
    assert inputs.images[Path("in/shot.heic")] == "shot" and "pillow-heif" not in "".join(inputs.left_out)


def test_folders_below_are_searched_on_request_and_keep_their_structure(photos):
    assert found("in", recursive=True) == {
        "in/a.png": "a_png",
        "in/b.JPG": "b",
        "in/clip.mp4": "clip",
        "in/deep/a.png": "deep/a",
    } | {"in/a.png": "a"}


def test_depth_beside_images_is_none_of_them(photos):
    for name in ("in/deep/depth/a.png", "in/other/depth/b.png"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    inputs = find_inputs(["in"], recursive=True)
    assert Path("in/deep/depth/a.png") not in inputs.images and Path("in/other/depth/b.png") in inputs.images
    assert "left out: depth (depth beside images, as own data have it)" in inputs.left_out


def test_several_words_patterns_and_lists_name_files_each_once(photos):
    assert found("in/a.png", "in/b.JPG", "in/a.png") == {"in/a.png": "a", "in/b.JPG": "b"}
    assert found("in/*.[pJ]*") == {"in/a.png": "a", "in/b.JPG": "b"}
    assert found("in/a.png,in/b.JPG") == {"in/a.png": "a", "in/b.JPG": "b"}
    assert found("in/a.png", "in/deep/a.png") == {"in/a.png": "in_a_png", "in/deep/a.png": "deep_a_png"}
    Path("in/list.txt").write_text("# mine\n\na.png\nin/clip.mp4\n")
    assert found("in/list.txt") == {"in/a.png": "a", "in/clip.mp4": "clip"}
    Path("in/x,y.png").touch()
    assert found("in/x,y.png") == {"in/x,y.png": "x,y"}


@pytest.mark.parametrize(
    "words, fault",
    [
        (["nowhere"], "--image-path nowhere: does not exist"),
        (["in/*.bmp"], r"--image-path in/\*.bmp: no file has such a name"),
        (["in/deep/.x/nothing", "in/gone.png"], "nothing: does not exist.*; also --image-path in/gone.png"),
        (["empty"], "no image in this folder .--recursive searches those below"),
        (["bad.txt"], "bad.txt: line 1: gone.png does not exist; correct the list"),
        (["none.txt"], "none.txt: names no file; correct the list"),
    ],
)
def test_words_that_name_nothing_are_told_all_at_once(photos, words, fault):
    Path("empty").mkdir()
    Path("bad.txt").write_text("gone.png\nlost.png\n")
    Path("none.txt").write_text("# nothing yet\n")
    with pytest.raises(UserError, match=fault):
        find_inputs(words, recursive=False)


def test_lines_of_a_list_that_name_nothing_are_left_out_and_noted_once(photos):
    Path("list.txt").write_text("gone.png\nin/a.png\n\ngone.png\nlost.jpg\nin/b.JPG\n")
    inputs = find_inputs(["list.txt", "list.txt"], recursive=False)
    assert [*map(str, inputs.images)] == ["in/a.png", "in/b.JPG"]
    assert inputs.missing == ("list.txt: line 1: gone.png does not exist", "list.txt: line 5: lost.jpg does not exist")


def test_names_stay_unique_whatever_they_are_lengthened_with():
    paths = [Path(name) for name in ("x/l/a.png", "y/l/a.png", "y/l/l_a_png.jpg", "z/a.png")]
    names = output_names({path: Path(path.name) for path in paths})
    assert len({*names.values()}) == 4 and names[paths[3]] == "z_a_png"
