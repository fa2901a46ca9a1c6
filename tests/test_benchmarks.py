"""The demo's table, and the measurements on sizes that take no time."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import arguments
from benchmarks import __main__ as bench
from benchmarks import convtrans, demo, evaluation, gpu, loading, patches, scaling, student, threads, train_step, turns
from benchmarks.train_step import STEPS, Setting, TrainStep, make_run
from benchmarks.unit import seconds
from methods import METHODS
from models.sd_convtrans import SDConvTrans
from tests import golden, warm

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


def test_a_method_that_knows_depth_alone_has_a_table_of_it():
    entry = {"kitti_annotated_test_depth": {"metrics": {"abs_rel": 0.1, "rmse": 3.0, "a1": 0.9, "log10": 0.04}}}
    assert demo.table({"trained": entry}, constant=0.45).splitlines() == [
        "|  | Abs Rel | RMSE | a1 |",
        "| --- | --- | --- | --- |",
        "| constant depth | 0.450 |  |  |",
        "| trained | 0.100 | 3.00 | 0.900 |",
    ]


@pytest.mark.parametrize("each", demo.DEMOS.values(), ids=demo.DEMOS)
def test_the_preset_of_a_demo_fits_every_command(each):
    for command in METHODS[each.method].options:
        assert arguments.parse(command, ["--config", str(each.preset)]).method == each.method
    args = arguments.parse("train", ["--config", str(each.preset)])
    assert each.last == f"epoch_{args.train_num_epochs}"
    assert args.train_num_epochs * args.train_batches_per_epoch <= 1100


@pytest.mark.parametrize("each", demo.DEMOS.values(), ids=demo.DEMOS)
def test_in_fp32_a_demo_takes_fewer_steps_and_ends_with_the_same_checkpoint(each, capsys):
    preset = ["--config", str(each.preset)]
    usual, short = (arguments.parse("train", [*preset, *words]) for words in ([], demo.fewer_steps(each)))
    steps = [args.train_num_epochs * args.train_batches_per_epoch for args in (usual, short)]
    assert capsys.readouterr().out == f"fp32 on this processor: {steps[1]} steps instead of {steps[0]}\n"
    assert steps[1] <= steps[0] / 2 and each.last == f"epoch_{short.train_num_epochs}"
    assert short.train_warmup_steps < steps[1] / 2


@pytest.fixture
def tiny(street: Path) -> Setting:
    """A step of one sample of every data set at 64x64."""
    return Setting(batch=1, size=(64, 64), data=str(street))


@pytest.mark.parametrize("name", [name for name in STEPS if "HRNet" not in name])  # timm builds no thin one
def test_every_step_of_the_table_is_taken_and_has_a_floor(name, tiny):
    size = (64, 128) if "Spatial-KD" in name else (64, 64)  # it sees half of that, and statistics need two pixels
    step = TrainStep(replace(STEPS[name], batch=1, size=size, data=tiny.data))
    assert step().isfinite() and step.updates.finite.all()
    alone = train_step.NetworkAlone(step)
    step.model.zero_grad()
    assert alone().isfinite()
    assert [call[0] for call in alone.calls] == ["segment"] * ("masking" in name) + ["__call__"]
    assert all(weight.grad is not None for weight in step.model.parameters() if weight.requires_grad)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_steps_are_measured_in_half_precision(precision, tiny):
    step = TrainStep(replace(tiny, precision=precision))
    assert step().isfinite()
    assert step.precision().fast_dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@pytest.mark.parametrize("options", [(), train_step.MASKING])
def test_the_plain_step_has_the_loss_and_the_gradients_of_ours(options, tiny):
    setting = replace(tiny, batch=2, size=(64, 96), options=options)
    ours, plain = TrainStep(setting), train_step.PlainTraining(TrainStep(setting), 2.0 if options else None)
    if options:  # every dynamic class moves
        ours.training.schedule.masking.threshold = 2.0
    torch.testing.assert_close(plain(), ours(), rtol=1e-5, atol=0)
    assert not next(iter(plain.model.parameters())).is_contiguous(memory_format=torch.channels_last)
    for mine, other in zip(ours.model.parameters(), plain.model.parameters(), strict=True):
        golden.assert_close_to_max(mine.grad.numpy(), other.grad.numpy(), 5e-3)  # PyTorch 2.6: 2.3e-3
    if options:
        assert not ours.training.schedule.masking._masked.values().eq(0).all()


def test_the_plain_masking_leaves_what_stands_still():
    keep = train_step.PlainStep(None, None, 0.5)._kept
    street, car = torch.zeros(2, 4, 4, dtype=torch.long), torch.zeros(2, 4, 4, dtype=torch.long)
    car[:, :2] = 13
    moved = torch.stack([car[0], car[1].roll(2, 0)])
    found = keep(car, [moved, moved])
    assert found[0].all() and not found[1].any() and keep(street, [street, street]).all()


@pytest.fixture
def forked(monkeypatch) -> None:
    """Processes of their own are forked from one that has imported everything."""
    monkeypatch.setattr("multiprocessing.get_context", lambda method: warm.ThinPools())


@pytest.mark.usefixtures("forked")
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="asks Linux for the memory of a process")
def test_memory_of_a_step_grows_with_the_batch(tiny):
    least, most = (train_step.peak_bytes(replace(tiny, batch=batch)) for batch in (1, 6))
    assert 0 < least < most


def test_the_step_of_sd_convtrans_stands_beside_its_parts(monkeypatch, capsys):
    passes = []
    monkeypatch.setattr(
        "models.sd_convtrans.SDConvTrans.pyramid",
        lambda self, x, real=SDConvTrans.pyramid: passes.append(1) or real(self, x),
    )
    convtrans.main(1, (64, 64), 1, layers=18)
    row = [cell.strip() for cell in capsys.readouterr().out.splitlines()[2].split("|")[1:-1]]
    assert row[0] == "ResNet-18, fp32" and len(row) == 4 and all(row)
    assert len(passes) == 2 * (1 + 2 + 2)  # noted once; the parts and the step, each to warm up and once more


def test_what_is_compared_is_timed_in_turn():
    order = []
    found = turns.in_turn({name: lambda name=name: order.append(name) for name in "AB"}, rounds=2)
    assert order == [*"ABABAB"] and len(found["A"].wall) == len(found["B"].processor) == 2
    halves = turns.Times((2.0, 4.0, 9.0), (2.0, 2.0, 2.0)).each(2)
    assert halves.wall == (1.0, 2.0, 4.5)
    assert str(turns.ratio(halves.wall, (1.0, 1.0, 1.5))) == "2.00 [1.00..3.00]"
    assert turns.beside(halves, turns.Times((1.0, 1.0, 1.5), (2.0, 1.0, 0.5))) == "2.00 [1.00..3.00] / 1.00"


def test_the_table_of_steps_has_every_run(tiny, monkeypatch, capsys):
    monkeypatch.setattr(train_step, "STEPS", {"A": replace(tiny, plain=True), "B": tiny})
    monkeypatch.setattr(train_step, "street_folder", lambda: contextlib.nullcontext(tiny.data))
    monkeypatch.setattr(train_step, "peak_bytes", lambda *_: 2 * 10**9)
    train_step.main(["fp32"], 1, (64, 64), 1)
    title, line, *rows = [row.split("|")[1:-1] for row in capsys.readouterr().out.splitlines()[:4]]
    assert {len(row) for row in (title, line, *rows)} == {7}
    assert [row[0].strip() for row in rows] == ["A, fp32", "B, fp32"]
    assert [cell.strip() == "" for cell in rows[1]] == [False, False, False, True, False, True, False]
    assert rows[0][-1].strip() == "2.00, 2.00, 2.00"


@pytest.mark.parametrize("kind", ["no patches", "teacher cached"])
def test_steps_with_patches_are_measured(kind, tiny):
    step = patches.patch_step(kind, replace(tiny, size=(96, 128), options=train_step.RESNET_18))
    outcome = step.training.step(step.network, step.batches, step.epoch, 0)[0]
    refined = outcome.look.refined
    assert (refined is None) == (kind == "no patches")
    assert refined is None or refined.count == len(patches.Grid.of(96, 128))


def test_operations_are_those_of_the_convolutions(tiny):
    once, twice = (gpu.operations(replace(tiny, batch=batch)) for batch in (1, 2))
    assert twice == 2 * once > 1e8
    assert gpu.matrix_rate(torch.float32, "cpu", size=64) > 0


def test_the_busy_share_counts_time_in_which_anything_runs():
    assert gpu.busy_share([(0, 1), (0.5, 2), (3, 4)]) == 0.75
    assert gpu.busy_share([(0, 8), (8, 9), (9.5, 10)], skip=0.8) == 0.75


def test_a_profile_names_what_takes_the_time(tiny):
    rows = gpu.step_profile(make_run("step", tiny), "cpu", rows=3)
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
def test_processes_take_more_images_together(tiny):
    assert scaling.images_per_second(tiny, 2) > 0


def test_measuring_a_gpu_needs_one(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--gpu"])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert capsys.readouterr().err.startswith("error: --gpu: PyTorch finds no GPU")


@pytest.mark.parametrize("name", loading.LOADERS)
def test_loading_is_measured_for_every_kind_of_sample(name, street: Path, monkeypatch):
    monkeypatch.setattr(loading, "THREADS", 1)
    setting = replace(loading.LOADERS[name], data=str(street), size=(64, 64), batch=2)
    found = loading.measured(setting, rounds=1, batches=1)
    assert [*found] == ["decoding alone", "PNG", "PNG, 1 workers", "JPEG", "data cache"]
    assert all(times.wall[0] > 0 for times in found.values())


def test_as_many_frames_are_decoded_alone_as_an_epoch_has(street: Path, tmp_path: Path):
    jpeg = loading.as_jpeg(street, tmp_path / "jpeg")
    assert not list(jpeg.rglob("*.png"))
    epoch = loading.Epoch(Setting(data=str(jpeg), size=(64, 64), batch=2), batches=3)
    assert epoch.samples == 6 and len(loading.Decoding(epoch).paths) == 18


def test_evaluation_and_inference_are_measured_on_any_street(street: Path, tmp_path: Path):
    data = tmp_path / "data"
    (data / "kitti_zhou_split").mkdir(parents=True)
    (data / "kitti").symlink_to(street / "kitti", target_is_directory=True)
    listed = data / "kitti_zhou_split" / "test_files.txt"
    listed.write_text((street / "kitti_zhou_split" / "test_files.txt").read_text())
    evaluation.write_test_list(data, 5)
    assert len(listed.read_text().splitlines()) == 5
    network = evaluation.write_network(tmp_path / "network")
    options = {"size": (64, 128), "rounds": 1}
    images = next((data / "kitti").rglob("image_02/data"))
    for found in (
        evaluation.evaluation_times(data, network, 0, **options),
        evaluation.inference_times(images, network, tmp_path / "out", **options),
    ):
        assert [*found] == [evaluation.COMMAND, evaluation.ALONE] and all(times.wall[0] > 0 for times in found.values())
    assert len(list((tmp_path / "out").iterdir())) == len(list(images.iterdir()))


@pytest.mark.parametrize("title", [title for title in evaluation.NETWORKS if "HRNet" not in title])
def test_every_network_is_written_for_evaluation(title, tmp_path: Path):
    assert (evaluation.write_network(tmp_path / "network", evaluation.NETWORKS[title]) / "model.pth").is_file()


def test_ways_to_wait_are_compared_in_processes_of_their_own(street: Path):
    way = threads.Way({"OMP_WAIT_POLICY": "PASSIVE"}, fewer=os.cpu_count() - 1)
    found = threads.measured({"asleep": way}, ["--size", "64", "64", "--batch", "1", "--data", str(street)], 2, [0])
    assert [len(steps) for steps in found[0].values()] == [2]
    wall, processor, memory = found[0]["asleep"][-1]
    assert wall > 0 and processor > 0 and 0.1 < memory < 10


def test_seconds_are_positive():
    assert seconds(lambda: sum(range(1000)), repeats=3, warm_up=0) > 0


def test_the_plain_step_of_a_student_has_the_loss_and_the_gradients_of_ours():
    size, encoders = (192, 320), ("resnet18", "resnet18")
    ours, plain = student.Student(size, 2, encoders), student.PlainRun(student.Student(size, 2, encoders))
    torch.testing.assert_close(ours.step(), plain(), rtol=1e-5, atol=0)
    theirs = plain.student.network
    mine, other = (
        torch.cat([each.grad.flatten() for each in network.encoder.parameters()]) for network in (ours.network, theirs)
    )
    # What roundings put to the other side of a ReLU, or of what is replaced, changes the gradient by half a per cent.
    assert (mine - other).norm() < 2e-2 * other.norm()
    assert all(p.grad is not None for p in theirs.decoder.parameters()) and ours.parts().isfinite()
