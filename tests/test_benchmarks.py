"""The demo's table, and the measurements on sizes that take no time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import arguments
from benchmarks import __main__ as bench
from benchmarks import demo, evaluation, gpu, loading, scaling, train_step
from benchmarks.unit import seconds
from tests import warm

pytestmark = pytest.mark.usefixtures("thin")


def metrics(abs_rel: float) -> dict:
    depth = {"abs_rel": abs_rel, "rmse": 9.0, "a1": 0.5}
    return {
        "kitti_zhou_val_depth": {"metrics": depth},
        "cityscapes_val_seg": {"metrics": {"miou": 0.3}},
        **{f"kitti_odom{n}_val_pose": {"metrics": {"ate_mean": 0.04}} for n in ("09", "10")},
    }


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


TINY = train_step.Setting(batch=1, size=(64, 64))


@pytest.mark.parametrize("changes", [{}, {"masking": True}, {"precision": "bf16"}, {"precision": "fp16"}])
def test_every_setting_is_a_training_step(changes):
    model = {}
    total = train_step.make_step(replace(TINY, **changes), wrap=lambda net: model.setdefault("net", net))()
    assert total.isfinite() and all(weight.grad is not None for weight in model["net"].seg.parameters())


@pytest.fixture
def forked(monkeypatch) -> None:
    """Processes of their own are forked from one that has imported everything."""
    monkeypatch.setattr("multiprocessing.get_context", lambda method: warm.ThinPools())


@pytest.mark.usefixtures("forked")
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the memory of a process")
def test_memory_of_a_step_grows_with_the_batch():
    least, most = (train_step.peak_bytes(replace(TINY, batch=batch)) for batch in (1, 8))
    assert 0 < least < most


def test_operations_are_those_of_the_convolutions():
    once, twice = (gpu.operations(replace(TINY, batch=batch)) for batch in (1, 2))
    assert twice == 2 * once > 1e8
    assert gpu.matrix_rate(torch.float32, "cpu", size=64) > 0


def test_the_busy_share_counts_time_in_which_anything_runs():
    assert gpu.busy_share([(0, 1), (0.5, 2), (3, 4)]) == 0.75
    assert gpu.busy_share([(0, 8), (8, 9), (9.5, 10)], skip=0.8) == 0.75


def test_a_profile_names_what_takes_the_time():
    step = train_step.make_step(TINY)
    rows = gpu.step_profile(step, "cpu", rows=3)
    assert len(rows) == 3 and 1 >= rows[0][1] >= rows[1][1] > 0
    assert any("conv" in name for name, _ in rows)


def test_the_busy_share_of_a_training_is_measured(street: Path, tmp_path: Path):
    words = [
        *gpu.training_words(street, tmp_path, batches=2),
        "--sys-cpu",
        "--sys-num-workers",
        "0",
        "--depth-resize-height",
        "64",
        "--depth-resize-width",
        "64",
        "--depth-training-batch-size",
        "1",
    ]
    assert 0 < gpu.training_busy_share(words, "cpu") <= 1


@pytest.mark.usefixtures("forked")
def test_processes_take_more_images_together():
    assert scaling.images_per_second(TINY, 2) > 0


def test_measuring_a_gpu_needs_one(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--gpu"])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert capsys.readouterr().err.startswith("error: --gpu: PyTorch finds no GPU")


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
