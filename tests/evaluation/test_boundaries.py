"""Depth boundary errors: what loops over single pixels find, and what must hold whatever the numbers are."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import arguments
import eval_depth
import train
from dataloader.catalog import find_loader
from dataloader.files import read_depth
from dataloader.samples import NO_CAMERA, DepthSource, Sample
from dataloader.splits import resolve
from dataloader.truth import require_dense
from errors import UserError
from evaluation.boundaries import BOUNDARIES, boundary_errors, depth_edges
from evaluation.depth import METRICS, evaluate_depth
from evaluation.protocols import DEPTH_PROTOCOLS
from methods.truth import look_at_truth
from perspective_resample.depth import DepthMap
from tests import commands
from tests.dataloader import indoor, test_cityscapes_depth, test_ddad, test_diml, tiny
from tests.evaluation.test_depth import make_batch

ALL = replace(DEPTH_PROTOCOLS["kitti_kitti"], boundaries=True, alignment="none")


def patches(seed: int, height: int = 30, width: int = 36, count: int = 5) -> np.ndarray:
    """Depth of rectangles before a slanted ground, in metres."""
    rng = np.random.default_rng(seed)
    depth = 20 + 0.2 * np.arange(width) + 0.4 * np.arange(height)[:, None] + 0.05 * rng.random((height, width))
    for _ in range(count):
        row, column = rng.integers(0, height - 8), rng.integers(0, width - 8)
        depth[row : row + rng.integers(5, 15), column : column + rng.integers(5, 15)] = rng.uniform(2, 15)
    return depth


def plain_edges(depth: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Canny as its steps are described, pixel by pixel, unknown pixels left out."""
    height, width = depth.shape
    pixels = [*product(range(height), range(width))]
    low, high = min(depth[place] for place in pixels if known[place]), max(depth[p] for p in pixels if known[p])
    smooth = np.zeros(depth.shape)
    for row, column in pixels:
        total, weight = 0.0, 0.0
        for y, x in product(range(row - 6, row + 7), range(column - 6, column + 7)):
            if 0 <= y < height and 0 <= x < width and known[y, x]:
                share = math.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 2.0))
                total, weight = total + share * (depth[y, x] - low) / (high - low), weight + share
        smooth[row, column] = total / weight if weight else 0.0

    def at(row: int, column: int) -> float:
        """The map goes on behind its border as in a mirror."""
        return smooth[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]

    slope = np.zeros((2, height, width))
    for row, column in pixels:
        for side, weight in ((-1, 1), (0, 2), (1, 1)):
            slope[0, row, column] += weight * (at(row + 1, column + side) - at(row - 1, column + side))
            slope[1, row, column] += weight * (at(row + side, column + 1) - at(row + side, column - 1))
    strength = np.sqrt((slope**2).sum(0))

    def kept(row: int, column: int) -> bool:
        around = [*product((row - 1, row, row + 1), (column - 1, column, column + 1))]
        if not all(0 <= y < height and 0 <= x < width and known[y, x] for y, x in around):
            return False
        if strength[row, column] < 0.15:
            return False
        step = slope[:, row, column] / np.abs(slope[:, row, column]).max()
        for way in (1, -1):  # where the gradient leaves the ring of eight neighbours
            y, x = row + way * step[0], column + way * step[1]
            ends = [(math.floor(y + 1e-9), math.floor(x + 1e-9)), (math.ceil(y - 1e-9), math.ceil(x - 1e-9))]
            if abs(step[0]) == 1:
                parts = [(round(y), ends[0][1]), (round(y), ends[1][1])]
                share = x - ends[0][1]
            else:
                parts = [(ends[0][0], round(x)), (ends[1][0], round(x))]
                share = y - ends[0][0]
            if (1 - share) * strength[parts[0]] + share * strength[parts[1]] > strength[row, column]:
                return False
        return True

    ridges = {place for place in pixels if kept(*place)}
    edges, wave = np.zeros(depth.shape, bool), [place for place in ridges if strength[place] >= 0.3]
    while wave:
        row, column = wave.pop()
        if not edges[row, column]:
            edges[row, column] = True
            wave += {*product((row - 1, row, row + 1), (column - 1, column, column + 1))} & ridges
    return edges


def plain_errors(edges: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    true, found = np.argwhere(edges), np.argwhere(predicted)
    to_truth = [min(math.dist(one, other) for other in true) for one in found]
    near = [distance for distance in to_truth if distance < 10]
    if not near:
        return 10.0, 10.0
    return sum(near) / len(near), sum(min(math.dist(one, other) for other in found) for one in true) / len(true)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_edges_and_errors_are_those_of_loops_over_pixels(seed, holes):
    maps = np.stack([patches(seed), patches(seed + (100 if seed else 0)) + 3 * patches(7)])
    known = np.ones(maps[0].shape, bool)
    if holes:
        known[3:8, 20:27] = known[15:17, :30] = False
        known[np.random.default_rng(seed).random(known.shape) < 0.005] = False
    maps[:, ~known] = 1e6  # nobody looks there
    expected = [plain_edges(each, known) for each in maps]
    found = depth_edges(maps, np.stack([known, known]))
    assert [each.sum() > 10 for each in expected] == [True, True]
    np.testing.assert_array_equal(found, expected)
    errors = boundary_errors(maps[:1], maps[1:], known[None])
    np.testing.assert_allclose(errors[0], plain_errors(*expected), rtol=1e-12)


def step(column: int, near: float = 10.0, far: float = 40.0, height: int = 24, width: int = 64) -> np.ndarray:
    """Two walls whose edge is one pixel wide, at this column."""
    depth = np.full((height, width), near)
    depth[:, column] = (near + far) / 2
    depth[:, column + 1 :] = far
    return depth


def errors_of(depth: np.ndarray, found: np.ndarray, known: np.ndarray | None = None) -> list[float]:
    known = np.ones(depth.shape, bool) if known is None else known
    return boundary_errors(depth[None], found[None], known[None])[0].tolist()


def test_an_edge_that_is_moved_is_so_many_pixels_off_whatever_unit_and_contrast_are():
    for moved in (0, 1, 5):
        assert errors_of(step(30), step(30 + moved)) == [moved, moved]
        assert errors_of(step(30), 0.1 * step(30 + moved)) == [moved, moved]
        assert errors_of(step(30), step(30 + moved, near=3, far=70)) == [moved, moved]


def test_accuracy_looks_at_what_is_near_and_completeness_at_all_true_edges():
    two = step(12) + step(50)
    assert errors_of(two, step(12)) == [0, 5]  # half of the true edges are 38 pixels away, which counts as 10
    assert errors_of(step(12), two) == [0, 0]  # an edge that far from all true ones does not count
    assert errors_of(step(12), step(21)) == [9, 9]
    assert errors_of(step(12), step(22)) == [10, 10]  # not within ten pixels
    assert errors_of(step(12), step(60)) == [10, 10]
    assert errors_of(step(12), np.full((24, 64), 7.0)) == [10, 10]


def test_truth_without_edges_has_no_errors():
    assert np.isnan(errors_of(np.full((24, 64), 7.0), step(12))).all()
    plane = 10 + 0.01 * np.arange(100)[:, None] * np.ones(64)
    assert np.isnan(errors_of(plane, step(12, height=100))).all()


def test_holes_of_the_truth_and_the_end_of_what_counts_are_no_edges_in_either_map():
    depth, known = step(30), np.ones((24, 64), bool)
    known[8:16, 5:20] = False
    depth[~known] = 0
    found = step(30)
    found[8:16, 5:20] = 80  # a sky that the truth does not know
    assert errors_of(depth, found, known) == [0, 0]
    np.testing.assert_array_equal(depth_edges(depth[None], known[None])[0].any(0).nonzero()[0], [30])
    known[:, 29:32] = False  # what lies on both sides of a hole is not compared
    assert np.isnan(errors_of(depth, found, known)).all()


def test_maps_of_a_batch_do_not_touch_each_other():
    maps, found = np.stack([patches(seed) for seed in range(4)]), np.stack([patches(seed + 1) for seed in range(4)])
    maps[1], found[2] = 7.0, 7.0
    known = np.ones(maps.shape, bool)
    single = [boundary_errors(*(each[i : i + 1] for each in (maps, found, known)))[0] for i in range(4)]
    np.testing.assert_array_equal(boundary_errors(maps, found, known), single)
    assert np.isnan(single[1]).all() and single[2].tolist() == [10, 10]


def metres(*maps: np.ndarray) -> Callable:
    left = iter(maps)
    return lambda _: SimpleNamespace(
        depth=DepthMap(torch.from_numpy(next(left))[None, None].float(), inverse=False, known="metres")
    )


def test_results_name_them_last_and_leave_out_images_without_edges(caplog):
    maps = [step(30).astype(np.float32), np.full((24, 64), 7, np.float32), step(20).astype(np.float32)]
    with caplog.at_level(logging.WARNING):
        result = evaluate_depth(metres(step(32), step(9), step(24)), [make_batch([each]) for each in maps], ALL)
    assert [*result.metrics] == [*METRICS, "abs_diff", "log10", *BOUNDARIES] == [*result.rows[0]][1:-1]
    assert [row["edge_acc"] for row in result.rows] == pytest.approx([2, math.nan, 4], nan_ok=True)
    assert (result.metrics["edge_acc"], result.metrics["edge_comp"]) == (3, 3) and len(result.names) == 3
    assert caplog.messages == [
        "test_depth: the truth of 1 of 3 images has no depth edge; edge_acc and edge_comp leave them out"
    ]
    without = evaluate_depth(metres(step(32)), [make_batch(maps[:1])], replace(ALL, boundaries=False))
    assert [*without.metrics] == [*METRICS, "abs_diff", "log10"] and without.without_edges == 0
    assert {name: result.rows[0][name] for name in METRICS} == {name: without.rows[0][name] for name in METRICS}


def test_predictions_end_and_pixels_count_as_the_protocol_says():
    depth = step(40).astype(np.float32)
    depth[:, :20] = 90  # too far to count
    capped = replace(ALL, maximum=80.0, clamp=(1e-3, 20.0))
    result = evaluate_depth(metres(step(41, far=25.0)), [make_batch([depth])], capped)
    assert (result.metrics["edge_acc"], result.metrics["edge_comp"]) == (1, 1)


def test_a_network_that_gives_nan_is_still_refused():
    with pytest.raises(UserError, match="gives NaN or infinite numbers for 1 of 1"):
        evaluate_depth(metres(np.full((24, 64), np.nan)), [make_batch([step(30).astype(np.float32)])], ALL)


def cityscapes(root: Path) -> None:
    counts = np.full(test_cityscapes_depth.SIZE, 3 * 256 + 1, np.uint16)
    counts[:, 60:] = 20 * 256 + 1
    counts[40:50, 20:30] = 0  # what stereo did not find
    for name in test_cityscapes_depth.SCENES:
        test_cityscapes_depth.image(root, name)
        test_cityscapes_depth.disparity(root, name)
        path = root / f"cityscapes/disparity/test/{name.partition('_')[0]}/{name}_disparity.png"
        tiny.save(path, counts)


def diml(root: Path, part: str) -> None:
    put, kind = {
        "indoor": (test_diml.indoor, "depth_filled/a_depth_filled"),
        "outdoor": (test_diml.outdoor, "depthmap/a"),
    }[part]
    put(root, f"{part}/LR/Room", "a")
    depth = np.full(test_diml.SIZE, 3000, np.uint16)
    depth[:, 18:] = 9000
    tiny.save(root / f"diml/{part}/LR/Room/{kind}.png", depth)


DENSE = {
    "cityscapes_test": cityscapes,
    "diml_indoor_test": lambda root: diml(root, "indoor"),
    "diml_outdoor_test": lambda root: diml(root, "outdoor"),
    "nyu_v2_test": lambda root: indoor.labelled(root / "nyu_v2"),
}


@pytest.mark.parametrize("loader", DENSE)
def test_dense_truth_of_other_sets_is_taken(tmp_path, loader):
    DENSE[loader](tmp_path)
    spec = find_loader("depth", loader)
    samples = resolve(spec, tmp_path)
    require_dense(loader, samples)
    depth = read_depth(samples[0].depth)
    known = DEPTH_PROTOCOLS[spec.protocol].valid(depth)
    assert errors_of(depth, depth, known) == [0, 0]


def test_clouds_of_points_are_refused(tmp_path):
    test_ddad.scene(tmp_path)
    test_ddad.index(tmp_path, ["000150"])
    with pytest.raises(UserError, match="dense truth is needed, and that of ddad_validation comes from laser scans"):
        require_dense("ddad_validation", resolve(find_loader("depth", "ddad_validation"), tmp_path))


def test_maps_of_single_points_are_refused_and_holes_are_not(tmp_path):
    points = np.zeros((40, 60), np.float32)
    points[::2, ::2] = 10
    holes = np.full((40, 60), 10, np.float32)
    holes[10:20, 5:25] = 0
    for place, depth in enumerate((points, holes)):
        np.save(tmp_path / f"{place}.npy", depth)
    single, whole = (
        Sample("one", {0: "one.png"}, NO_CAMERA, depth=DepthSource("array", str(tmp_path / f"{place}.npy")))
        for place in range(2)
    )
    with pytest.raises(UserError, match="that of some_test is measured on all sides of only 0% of its pixels"):
        require_dense("some_test", [single])
    require_dense("some_test", [whole])
    require_dense("some_test", [])


@pytest.fixture(scope="module")
def words(tmp_path_factory, street) -> list[str]:
    """An evaluation of an untrained network on the street."""
    runs = tmp_path_factory.mktemp("boundaries")
    commands.write_checkpoint(runs / "start")
    given = ["--method", "sgdepth", "--sys-cpu", "--sys-num-workers", "0", "--dataset-dir", str(street)]
    given += [
        "--checkpoint-dir",
        str(runs),
        "--model-load",
        "start",
        "--model-name",
        "judged",
        "--eval-num-images",
        "0",
    ]
    given += ["--depth-validation-resize-height", "64", "--depth-validation-resize-width", "128"]
    return [*given, "--depth-validation-loaders", "kitti_zhou_validation", "--metrics", "boundaries"]


@pytest.mark.usefixtures("thin")
def test_the_command_puts_them_into_every_table(words, capsys):
    args = arguments.parse("eval_depth", [*words, "--depth-gt", "improved"])
    eval_depth.evaluate(args)
    assert " edge_acc | edge_comp | " in capsys.readouterr().out
    (folder,) = Path(args.checkpoint_dir, args.experiment_class).iterdir()
    found = json.loads((folder / "metrics.json").read_text())["kitti_zhou_val_depth"]["metrics"]
    assert 0 <= found["edge_acc"] <= 10 and 0 <= found["edge_comp"] <= 10
    for name in ("metrics_kitti_zhou_val_depth.csv", "metrics_table.csv"):
        rows = [*csv.DictReader((folder / name).read_text().splitlines())]
        mean = np.nanmean([float(row["edge_acc"]) for row in rows])
        assert mean == pytest.approx(found["edge_acc"], rel=1e-12)


@pytest.mark.usefixtures("thin")
def test_scans_are_refused_with_one_sentence_before_anything_is_judged(words):
    with pytest.raises(
        UserError, match="dense truth is needed, and that of kitti_zhou_validation comes from laser scans"
    ) as told:
        eval_depth.evaluate(arguments.parse("eval_depth", words))
    assert str(told.value).startswith("--metrics boundaries: ")


def test_training_refuses_scans_and_takes_dense_truth(street):
    from dataloader.loaders import build_evaluation

    given = [
        "--method",
        "monodepth2",
        "--dataset-dir",
        str(street),
        "--depth-validation-loaders",
        "kitti_zhou_validation",
    ]
    for more, fits in ((["--depth-gt", "improved"], True), ([], False)):
        args = arguments.parse("train", [*given, *more, "--metrics", "boundaries", "--sys-num-workers", "0"])
        sets = build_evaluation(args, "depth")
        if fits:
            look_at_truth(args, sets)
        else:
            with pytest.raises(UserError, match="dense truth is needed"):
                look_at_truth(args, sets)
    rules = ["--keep", "best=edge_acc"]
    assert train.what_stays(arguments.parse("train", [*given, *rules, "--metrics", "boundaries"]), ["depth"]).best
    with pytest.raises(UserError, match="--keep best=edge_acc: .* --metrics boundaries"):
        train.what_stays(arguments.parse("train", [*given, *rules]), ["depth"])


def test_other_words_are_refused():
    with pytest.raises(UserError, match="--metrics: 'borders' is not one of the further metrics"):
        arguments.parse("eval_depth", ["--metrics", "borders"])
