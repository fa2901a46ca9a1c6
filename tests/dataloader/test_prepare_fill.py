"""``python -m dataloader.prepare fill``: which maps it makes, where, and what it leaves alone."""

from __future__ import annotations

import argparse
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dataloader.catalog import find_loader
from dataloader.files import read_counts
from dataloader.prepare import fill
from dataloader.prepare.__main__ import main
from dataloader.prepare.dense_depth import filled, smoothed
from dataloader.samples import DepthSource
from dataloader.splits import resolve
from errors import UserError

SIZE = (48, 64)


def write_room(folder: Path, number: int, counts: np.ndarray | None = None) -> Path:
    """An image of NYU's sync set with its depth map."""
    rng = np.random.default_rng(number)
    folder.mkdir(parents=True, exist_ok=True)
    image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), SIZE[::-1])
    Image.fromarray(image).save(folder / f"rgb_{number:05d}.png")
    if counts is None:
        counts = 2000 + 10 * np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 20
        counts[10:25, 20:40] = 0
    path = folder / f"sync_depth_{number:05d}.png"
    cv2.imwrite(str(path), counts.astype(np.uint16))
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "nyu_v2" / "sync" / "kitchen_0001"
    for number in range(2):
        write_room(folder, number)
    return folder


def run(root: Path, *words: str) -> int:
    return main(["fill", "nyu_v2_train", "--dataset-dir", str(root), "--workers", "1", *words])


def test_maps_lie_beside_the_truth_and_the_loader_finds_them(scene, tmp_path, capsys):
    assert run(tmp_path) == 0
    assert sorted(path.name for path in (scene / "dense").iterdir()) == [
        "sync_depth_dense_00000.png",
        "sync_depth_dense_00001.png",
    ]
    said = capsys.readouterr().out
    assert "0 of 2 frames are done" in said and "exactly 10 m counts as none" in said and "complete" in said
    for sample in resolve(find_loader("depth", "nyu_v2_train", training=True), str(tmp_path)):
        assert sample.dense.path.endswith(f"dense/sync_depth_dense_{sample.images[0][-9:-4]}.png")
        assert Path(sample.base.path).is_file() and sample.base.unit == sample.depth.unit


def test_what_was_measured_stays_and_the_rest_is_filled_with_alpha_of_nyu(scene, tmp_path):
    run(tmp_path)
    counts, dense, base = (
        read_counts(scene / name)
        for name in ("sync_depth_00001.png", "dense/sync_depth_dense_00001.png", "base/sync_depth_base_00001.png")
    )
    image = np.asarray(Image.open(scene / "rgb_00001.png")) / 255
    exact = filled(image, counts * 0.001, 0.8)
    assert np.array_equal(dense[counts > 0], counts[counts > 0])
    assert np.abs(dense / 1000 - exact).max() <= 0.00051
    assert np.abs(base / 1000 - smoothed(exact, 1.0)).max() <= 0.00051  # of the exact depth, not of the rounded one


def test_alpha_and_lambda_can_be_said(scene, tmp_path):
    run(tmp_path, "--alpha", "5", "--lambda", "0")
    counts = read_counts(scene / "sync_depth_00000.png")
    image = np.asarray(Image.open(scene / "rgb_00000.png")) / 255
    dense, base = (read_counts(scene / kind / f"sync_depth_{kind}_00000.png") for kind in ("dense", "base"))
    assert np.abs(dense / 1000 - filled(image, counts * 0.001, 5)).max() <= 0.00051
    assert np.array_equal(dense, base)


def test_depth_of_ten_metres_is_none_in_nyu(tmp_path):
    counts = np.full(SIZE, 3000)
    counts[20:30, 20:30] = 10000
    path = write_room(tmp_path / "nyu_v2" / "sync" / "kitchen_0001", 0, counts)
    run(tmp_path)
    dense = read_counts(path.parent / "dense" / "sync_depth_dense_00000.png")
    assert np.abs(dense.astype(int) - 3000).max() <= 1


def test_an_interrupted_run_goes_on_and_done_maps_stay(scene, tmp_path, capsys):
    run(tmp_path)
    before = {path: path.read_bytes() for path in scene.rglob("*.png")}
    lost = scene / "base" / "sync_depth_base_00000.png"
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in before if path != lost}
    run(tmp_path)
    assert "1 of 2 frames are done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert np.abs(read_counts(lost).astype(int) - cv2.imdecode(np.frombuffer(before[lost], np.uint8), -1)).max() <= 1


def test_filled_maps_that_are_there_are_used_as_they_are(scene, tmp_path):
    theirs = np.full(SIZE, 4000, np.uint16)
    (scene / "dense").mkdir()
    cv2.imwrite(str(scene / "dense" / "sync_depth_dense_00000.png"), theirs)
    run(tmp_path)
    assert np.array_equal(read_counts(scene / "dense" / "sync_depth_dense_00000.png"), theirs)
    assert np.array_equal(read_counts(scene / "base" / "sync_depth_base_00000.png"), theirs)


def test_a_base_made_in_two_runs_is_that_of_one(scene, tmp_path, monkeypatch):
    write_room(scene, 0, np.random.default_rng(0).integers(0, 3, SIZE) * 1000)
    run(tmp_path)
    dense, base = (scene / kind / f"sync_depth_{kind}_00000.png" for kind in ("dense", "base"))
    whole = dense.read_bytes(), base.read_bytes()
    dense.unlink(), base.unlink()
    put = fill.put

    def interrupted(path: Path, content: bytes) -> None:
        put(path, content)
        raise UserError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(fill, "put", interrupted)
        assert run(tmp_path) == 2
    assert dense.exists() + base.exists() == 1
    run(tmp_path)
    assert (dense.read_bytes(), base.read_bytes()) == whole


def test_gaps_of_filled_maps_that_are_there_stay_gaps_of_the_base(scene, tmp_path):
    theirs = np.full(SIZE, 4000, np.uint16)
    theirs[10:20, 10:20] = 0
    (scene / "dense").mkdir()
    cv2.imwrite(str(scene / "dense" / "sync_depth_dense_00000.png"), theirs)
    run(tmp_path)
    assert np.array_equal(read_counts(scene / "base" / "sync_depth_base_00000.png"), theirs)


def test_filled_maps_of_the_data_count_as_done_below_another_folder(scene, tmp_path, capsys):
    run(tmp_path)
    for lost in (scene / "base").iterdir():
        lost.unlink()
    out = tmp_path / "out"
    run(tmp_path, "--out", str(out))
    made = sorted(path.name for path in out.rglob("*.png"))
    assert made == ["sync_depth_base_00000.png", "sync_depth_base_00001.png"]
    capsys.readouterr()
    run(tmp_path, "--out", str(out))
    assert "2 of 2 frames are done" in capsys.readouterr().out


def test_a_frame_without_measurements_is_left_out_and_counted(scene, tmp_path, capsys):
    write_room(scene, 2, np.zeros(SIZE))
    assert run(tmp_path) == 0
    assert "complete; 1 frames without any measurement were left out" in capsys.readouterr().out
    assert not (scene / "dense" / "sync_depth_dense_00002.png").exists()


def test_below_another_folder_maps_lie_as_in_the_data_set_folder(street, tmp_path):
    words = ["fill", "kitti_annotated_train", "--dataset-dir", str(street), "--out", str(tmp_path), "--workers", "1"]
    assert main(words) == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    samples = resolve(find_loader("depth", "kitti_annotated_train", training=True), str(street))
    assert len(made) == 2 * len(samples)
    assert all((street / path.parent.parent / path.name).is_file() for path in made)
    truth = Path(samples[0].depth.path)
    counts, dense = read_counts(truth), read_counts(tmp_path / truth.relative_to(street).parent / "dense" / truth.name)
    assert np.array_equal(dense[counts > 0], counts[counts > 0]) and dense.min() > 0
    assert not any(street.rglob("dense"))


def test_frames_can_be_sent_to_other_processes(scene):
    depth = DepthSource("map", str(scene / "sync_depth_00000.png"), unit=0.001)
    paths = scene / "dense" / "a.png", scene / "base" / "a.png"
    job = fill.fill_frame, (fill.Frame(str(scene / "rgb_00000.png"), depth, paths, hollow=True), 0.8, 1.0)
    function, arguments = pickle.loads(pickle.dumps(job))
    assert function(*arguments) == 1 and all(path.is_file() for path in paths)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fill", "nyu_v2_trian"], r"nyu_v2_trian: no loader of images with depth \(closest: nyu_v2_train"),
        (["fill", "kitti_zhou_train"], "kitti_zhou_train: no loader of images with depth"),
        (["fill", "nyu_v2_train", "--alpha", "-1"], "--alpha -1: give 0 or more"),
        (["fill", "nyu_v2_train", "--lambda", "nan"], "--lambda nan: give 0 or more"),
        (["fill", "nyu_v2_train", "--workers", "-2"], "--workers -2: give 0 for one per core"),
    ],
)
def test_mistakes_are_told_in_a_sentence(words, sentence, tmp_path, capsys):
    assert main([*words, "--dataset-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    parser = argparse.ArgumentParser()
    fill.add_arguments(parser)
    with pytest.raises(UserError, match=sentence):
        fill.run(parser.parse_args([*words[1:], "--dataset-dir", str(tmp_path)]))


def test_a_depth_map_of_another_size_is_told(scene, tmp_path, capsys):
    shutil.copy(write_room(tmp_path, 7, np.full((10, 10), 1000)), scene / "sync_depth_00000.png")
    assert run(tmp_path) == 2
    assert "sync_depth_00000.png" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 9), (9, 2)])
@pytest.mark.parametrize("is_filled", [False, True])
def test_an_image_of_nearly_no_pixels_ends_in_a_sentence(tmp_path, size, is_filled):
    folder = tmp_path / "nyu_v2" / "sync" / "kitchen_0001"
    folder.mkdir(parents=True)
    path = folder / "sync_depth_00000.png"
    Image.fromarray(np.full((*size, 3), 99, np.uint8)).save(folder / "rgb_00000.png")
    cv2.imwrite(str(path), np.full(size, 2000, np.uint16))
    dense, base = folder / "dense.png", folder / "base.png"
    if is_filled:
        shutil.copy(path, dense)
    frame = fill.Frame(
        str(folder / "rgb_00000.png"), DepthSource("map", str(path), unit=0.001), (dense, base), hollow=True
    )
    with pytest.raises(UserError, match=f"{size[0]} x {size[1]} .*leave the frame out"):
        fill.fill_frame(frame, 1.0, 1.0)


def test_three_pixels_are_enough(tmp_path):
    folder = tmp_path / "nyu_v2" / "sync" / "kitchen_0001"
    folder.mkdir(parents=True)
    Image.fromarray(np.arange(27, dtype=np.uint8).reshape(3, 3, 3)).save(folder / "rgb_00000.png")
    cv2.imwrite(str(folder / "sync_depth_00000.png"), np.diag([2000, 3000, 0]).astype(np.uint16))
    assert run(tmp_path) == 0
    dense = read_counts(folder / "dense/sync_depth_dense_00000.png")
    assert dense.min() >= 2000 and dense.max() <= 3000
