"""DIML/CVL: pairs located by the names of their folders."""

from pathlib import Path

import numpy as np
import pytest

from dataloader.catalog import find_loader
from dataloader.check.doctor import Options, examine
from dataloader.files import read_depth
from dataloader.loaders import build_evaluation
from dataloader.splits import resolve
from errors import UserError
from evaluation.protocols import DEPTH_PROTOCOLS
from tests.dataloader import tiny

INDOOR = find_loader("depth", "diml_indoor_test")
OUTDOOR = find_loader("depth", "diml_outdoor_test")
SIZE = (24, 40)


def indoor(root: Path, folder: str, name: str, millimetres: int = 2500, depth: bool = True) -> None:
    tiny.save(root / f"diml/{folder}/color/{name}_c.png", tiny.picture(len(name), SIZE))
    path = root / f"diml/{folder}/depth_filled/{name}_depth_filled.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if depth:
        tiny.save(path, np.full(SIZE, millimetres, np.uint16))


def outdoor(root: Path, folder: str, name: str) -> None:
    tiny.save(root / f"diml/{folder}/outleft/{name}.png", tiny.picture(len(name), SIZE))
    tiny.save(root / f"diml/{folder}/depthmap/{name}.png", np.full(SIZE, 12345, np.uint16))


def test_both_parts_are_found_in_one_folder(tmp_path):
    indoor(tmp_path, "HR/1. Library", "in_k_05_160205")
    indoor(tmp_path, "HR/2. Room", "b", depth=False)
    outdoor(tmp_path, "outdoor/LR/Park", "0001")
    first, second = resolve(INDOOR, tmp_path)
    assert (first.name, second.depth) == ("HR/1. Library/in_k_05_160205", None)
    assert np.unique(read_depth(first.depth)).tolist() == [2.5]
    (found,) = resolve(OUTDOOR, tmp_path)
    assert found.name == "outdoor/LR/Park/0001" and read_depth(found.depth)[0, 0] == np.float32(12.345)


def test_images_in_two_resolutions_count_once(tmp_path):
    for folder in ("a/LR/x", "a/HR/x"):
        indoor(tmp_path, folder, "one", 1000 if "LR" in folder else 2000)
    indoor(tmp_path, "a/LR/x", "two", 3000)
    found = resolve(INDOOR, tmp_path)
    assert [sample.name for sample in found] == ["a/HR/x/one", "a/LR/x/two"]
    assert [read_depth(sample.depth)[0, 0] for sample in found] == [2, 3]


def test_where_there_is_a_test_part_only_that_counts(tmp_path):
    for part in ("train", "test"):
        outdoor(tmp_path, f"outdoor/{part}/LR/A", f"{part}0")
    assert [sample.name for sample in resolve(OUTDOOR, tmp_path)] == ["outdoor/test/LR/A/test0"]


def test_what_is_no_pair_is_passed_over(tmp_path):
    indoor(tmp_path, "LR/x", "one")
    tiny.save(tmp_path / "diml/LR/x/color/one_other.png", tiny.picture(0, SIZE))
    tiny.save(tmp_path / "diml/LR/x/depth_filled/one_other.png", tiny.picture(0, SIZE))
    tiny.save(tmp_path / "diml/LR/y/color/alone_c.png", tiny.picture(0, SIZE))
    assert [sample.name for sample in resolve(INDOOR, tmp_path)] == ["LR/x/one"]


@pytest.mark.parametrize(
    "spec, wanted", [(INDOOR, "color' beside 'depth_filled"), (OUTDOOR, "outleft' beside 'depthmap")]
)
def test_nothing_there_says_what_to_unpack(tmp_path, spec, wanted):
    with pytest.raises(UserError, match="diml: no such folder"):
        resolve(spec, tmp_path)
    (tmp_path / "diml/HR").mkdir(parents=True)
    with pytest.raises(UserError, match=wanted):
        resolve(spec, tmp_path)


def test_images_without_any_depth_are_no_set(tmp_path):
    indoor(tmp_path, "LR/x", "one", depth=False)
    with pytest.raises(UserError, match="none of its 1 frames has depth; unpack depth_filled"):
        build_evaluation(tiny.options(tmp_path, depth_validation_loaders=("diml_indoor_test",)), "depth")


@pytest.mark.parametrize("spec", [INDOOR, OUTDOOR])
def test_the_doctor_says_nothing_of_a_camera_that_nobody_knows(tmp_path, spec):
    indoor(tmp_path, "HR/x", "one")
    outdoor(tmp_path, "HR/y", "one")
    report, tiles = examine(spec, Options(dataset_dir=str(tmp_path)), tiles=True)
    assert not report.faults and len(tiles) == 1 and "intrinsics" not in str(report)


def test_windows_and_ranges():
    indoors = DEPTH_PROTOCOLS["diml_indoor"].valid(np.full((480, 640), 3, np.float32))
    marked = np.argwhere(indoors)
    assert (*marked.min(0), *(marked.max(0) + 1)) == (45, 41, 471, 601)
    depth = np.full((10, 20), 10, np.float32)
    depth[5, 10:14] = 1.9, 2.1, 79, 81
    assert DEPTH_PROTOCOLS["diml_outdoor"].valid(depth)[5, 10:14].tolist() == [False, True, True, False]
    assert DEPTH_PROTOCOLS["diml_indoor"].valid(depth)[5, 10:14].tolist() == [True, True, False, False]
