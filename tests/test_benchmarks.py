"""The demo's table, and the measurements on sizes that take no time."""

from __future__ import annotations

from pathlib import Path

import torch

import arguments
from benchmarks import demo, evaluation, loading, train_step
from benchmarks.unit import seconds


def metrics(abs_rel: float) -> dict:
    depth = {"abs_rel": abs_rel, "rmse": 9.0, "a1": 0.5}
    return {"kitti_zhou_val_depth": {"metrics": depth}, "cityscapes_val_seg": {"metrics": {"miou": 0.3}},
            **{f"kitti_odom{n}_val_pose": {"metrics": {"ate_mean": 0.04}} for n in ("09", "10")}}  # fmt: skip


def test_the_table_shows_every_network_beside_the_constant():
    text = demo.table({"untrained": metrics(0.5), "trained": metrics(0.25)}, constant=0.45)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert {len(row) for row in rows} == {7}
    assert [row[:2] for row in rows[2:]] == [["constant depth", "0.450"], ["untrained", "0.500"], ["trained", "0.250"]]
    assert rows[4][2:] == ["9.00", "0.500", "0.300", "0.040", "0.040"]


def test_the_preset_of_the_demo_fits_every_command():
    for command in arguments.COMMANDS:
        args = arguments.parse(command, ["--config", str(demo.PRESET)])
        assert args.model_depth_min == 0.03
    args = arguments.parse("train", ["--config", str(demo.PRESET)])
    assert demo.LAST == f"epoch_{args.train_num_epochs}"
    assert args.train_num_epochs * args.train_batches_per_epoch == 1100


def test_random_batches_go_through_a_step():
    depth, labelled = train_step.random_batches(1, 64, 64)
    assert set(depth.images) == {0, -1, 1} and depth.images[0].shape == (1, 3, 64, 64)
    assert labelled.labels.max() < 19
    torch.testing.assert_close(depth.K @ depth.inv_K, torch.eye(4)[None])


def test_the_loading_benchmark_counts_whole_epochs(street: Path):
    assert loading.triplets_per_second(street, batches=2, batch_size=2, device="cpu") > 0


def test_loading_is_measured_from_jpegs_and_from_a_cache_as_well(street: Path, tmp_path: Path):
    jpeg = loading.as_jpeg(street, tmp_path / "jpeg")
    assert not list(jpeg.rglob("*.png")) and loading.triplets_per_second(jpeg, 2, 2, workers=1) > 0
    assert loading.triplets_per_second(jpeg, 2, 2, cache=str(tmp_path / "cache")) > 0
    assert list((tmp_path / "cache").glob("*.shard"))


def test_evaluation_and_inference_are_measured_on_any_street(street: Path, tmp_path: Path):
    data = tmp_path / "data"
    (data / "kitti_zhou_split").mkdir(parents=True)
    (data / "kitti").symlink_to(street / "kitti", target_is_directory=True)
    listed = data / "kitti_zhou_split" / "test_files.txt"
    listed.write_text((street / "kitti_zhou_split" / "test_files.txt").read_text())
    evaluation.write_test_list(data, 5)
    assert len(listed.read_text().splitlines()) == 5
    network = evaluation.write_network(tmp_path / "network")
    options = {"size": (64, 128), "repeats": 1}
    assert min(evaluation.evaluation_rates(data, network, 0, **options)) > 0
    images = next((data / "kitti").rglob("image_02/data"))
    assert min(evaluation.inference_rates(images, network, tmp_path / "out", **options)) > 0
    assert len(list((tmp_path / "out").iterdir())) == len(list(images.iterdir()))


def test_seconds_are_positive():
    assert seconds(lambda: sum(range(1000)), repeats=3, warm_up=0) > 0
