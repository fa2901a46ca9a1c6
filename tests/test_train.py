"""Training as a user runs it: what it writes, how it stops and goes on, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests import real_data
from tests.conftest import Run, tiny_options

pytestmark = pytest.mark.usefixtures("thin")

RUN = Path("sgdepth_eccv_test/sgdepth_base")


def losses(output: str) -> list[str]:
    return re.findall(r"(epoch \d+/\d+ batch \d+/\d+ \| [^|]+) \|", output)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pth", weights_only=True)


def assert_equal_weights(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert list(a) == list(b)
    different = [key for key in a if not torch.equal(a[key], b[key])]
    assert not different, f"{len(different)} tensors differ, first {different[0]}"


@pytest.fixture(scope="module")
def trained(street: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> tuple[Path, str]:
    """A finished tiny run with masking, both validations and two workers."""
    folder = tmp_path_factory.mktemp("checkpoints")
    result = run(
        "train.py",
        *tiny_options(street, folder),
        "--masking-enable",
        "--masking-from-epoch",
        "0",
        "--masking-linear-increase",
        "--depth-validation-loaders",
        "kitti_zhou_validation",
        "--segmentation-validation-loaders",
        "cityscapes_validation",
        "--sys-num-workers",
        "2",
        "--sys-seed",
        "7",  # whose first network finds objects that move
    )
    assert result.returncode == 0, result.stderr
    return folder, result.stdout


def test_a_run_leaves_the_published_layout(trained):
    folder, _ = trained
    run_folder = folder / RUN
    for name in ("epoch_1", "epoch_2"):
        files = {path.name for path in (run_folder / "checkpoints" / name).iterdir()}
        assert files == {"model.pth", "optim.pth", "scheduler.pth", "train.pth", "meta.json"}
    options = json.loads((run_folder / "opt.json").read_text())
    assert options["masking_enable"] is True and options["depth_training_loaders"] == ["kitti_zhou_train"]
    counters = torch.load(run_folder / "checkpoints/epoch_2/train.pth", weights_only=True)
    assert (counters["step"], counters["epoch"]) == (6, 2)
    assert len(counters["masking"]["ious"]) == 6  # three steps of two images: the log starts afresh every epoch


def test_tensorboard_has_the_published_tags(trained):
    folder, _ = trained
    found = {}
    for name in ("train", "validation", "images"):
        events = EventAccumulator(str(folder / RUN / name)).Reload()
        found[name] = {*events.Tags()["scalars"], *events.Tags()["images"]}
    domain = "kitti_zhou_train_depth"
    events = EventAccumulator(str(folder / RUN / "train")).Reload()
    thresholds = [(event.step, event.value) for event in events.Scalars("masking_threshold")]
    assert [step for step, _ in thresholds] == [3, 6]
    assert thresholds[0][1] > 0 and thresholds[1][1] == 0  # linear increase ends with percentile 0, then none
    assert {
        f"{domain}_loss",
        f"{domain}_depth_mean",
        f"{domain}_translation",
        f"{domain}_depth_std",
        f"{domain}_automask_counted",
        "cityscapes_train_seg_loss",
        "masking_threshold",
        "learning_rate",
    } <= found["train"]
    depth = ("abs_rel", "rmse_log", "delta1", "ratio_median", "ratio_norm_std")
    assert {f"kitti_zhou_val_depth_{name}" for name in depth} <= found["validation"]
    segmentation = ("meaniou", "meanacc", "totalacc", "freqwacc", "meanprec")
    assert {f"cityscapes_val_seg_{name}" for name in segmentation} <= found["validation"]
    pictures = {f"{domain}_{name}" for name in ("images", "error", "automask")}
    assert found["images"] == {*pictures, "cityscapes_train_seg_images"}


def test_console_shows_losses_speed_and_time_left(trained):
    _, output = trained
    line = next(line for line in output.splitlines() if line.startswith("epoch 1/2 batch 2/3"))
    assert re.search(
        r"kitti_zhou_train_depth_loss \d+\.\d{4}, cityscapes_train_seg_loss \d+\.\d{4} \| "
        r"[\d.]+ images/s \| memory [\d.]+ GiB \| loading [\d.]+ s, "
        r"transfer [\d.]+ s, forward [\d.]+ s, optimizer [\d.]+ s \| "
        r"waiting for data \d+ % \| ETA \d+:\d\d:\d\d",
        line,
    )
    assert re.search(r"Can use \d+ images from the kitti_zhou_train_depth", output)


def test_a_run_keeps_what_it_is_told_to_and_knows_what_is_best_when_it_goes_on(street, tmp_path, run):
    words = [*tiny_options(street, tmp_path), "--train-batches-per-epoch", "1", "--keep", "best=abs_rel,last=1"]
    words += ["--depth-validation-loaders", "kitti_zhou_validation", "--segmentation-training-loaders", ""]
    scores = {}
    for epochs, more in ((2, ["--train-checkpoint-frequency", "2"]), (4, ["--resume", "auto"])):
        result = run("train.py", *words, "--train-num-epochs", str(epochs), *more)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        scores |= {
            int(re.search(r"epoch_(\d+)$", lines[place])[1]): lines[place - 1]
            for place in range(len(lines))
            if lines[place].startswith("saved ")
        }
        values = {epoch: float(re.search(r"abs_rel ([\d.]+)", line)[1]) for epoch, line in scores.items()}
        folders = {path.name for path in (tmp_path / RUN / "checkpoints").iterdir()}
        noted = {
            name: json.loads((tmp_path / RUN / "checkpoints" / name / "meta.json").read_text())["validation"]
            for name in folders
        }
        found = {name: entry["kitti_zhou_val_depth"]["metrics"]["abs_rel"] for name, entry in noted.items()}
        assert f"epoch_{epochs}" in folders and len(folders) <= 2
        assert min(found.values()) == pytest.approx(min(values.values()), abs=1e-4)
    assert set(values) == {2, 3, 4}
    assert any(
        line.startswith("removed epoch_") and "; best abs_rel of kitti_zhou_val_depth: " in line for line in lines
    )


def test_a_metric_that_nobody_measures_is_refused_before_anything_is_loaded(street, tmp_path, run):
    result = run("train.py", *tiny_options(street, tmp_path), "--keep", "best=abs_rel")
    assert result.returncode == 2
    assert "--keep best=abs_rel: no validation tells it; name a data set in --depth-validation-loaders" in result.stderr


def test_compiling_leaves_the_checkpoint_as_it_is(trained, street, tmp_path, run, monkeypatch):
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # the compiler itself takes minutes; see test_train_step
    folder, _ = trained
    result = run(
        "train.py",
        *tiny_options(street, tmp_path),
        "--masking-enable",
        "--masking-from-epoch",
        "0",
        "--masking-linear-increase",
        "--sys-seed",
        "7",
        "--train-compile",
    )
    assert result.returncode == 0, result.stderr
    assert_equal_weights(folder / RUN / "checkpoints/epoch_2", tmp_path / RUN / "checkpoints/epoch_2")


def test_a_used_run_folder_is_refused_and_stays_as_it_is(trained, street, run):
    folder, _ = trained
    options = (folder / RUN / "opt.json").read_text()
    result = run("train.py", *tiny_options(street, folder), "--train-learning-rate", "0.5")
    assert result.returncode == 2 and "--resume auto" in result.stderr
    assert (folder / RUN / "opt.json").read_text() == options


def test_a_finished_run_resumed_trains_nothing(trained, street, run):
    folder, _ = trained
    before = weights(folder / RUN / "checkpoints/epoch_2")
    result = run("train.py", *tiny_options(street, folder), "--resume", "auto")
    assert result.returncode == 0, result.stderr
    assert not losses(result.stdout)
    after = weights(folder / RUN / "checkpoints/epoch_2")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_depth_alone_trains_from_the_published_options(street, tmp_path, run):
    result = run(
        "train.py",
        *tiny_options(street, tmp_path),
        "--segmentation-training-loaders",
        "",
        "--train-depth-grad-scale",
        "1.0",
        "--train-segmentation-grad-scale",
        "0.0",
        "--train-precision",
        "bf16",
        "--train-scheduler-step-size",
        "1",
        "--train-weight-decay",
        "0.01",
    )
    assert result.returncode == 0, result.stderr
    assert "_seg_loss" not in result.stdout
    assert_schedule(tmp_path / RUN / "checkpoints/epoch_1", rate=1e-5, decay=0.01)
    assert_schedule(tmp_path / RUN / "checkpoints/epoch_2", rate=1e-6, decay=0.01)


def assert_schedule(folder: Path, rate: float, decay: float) -> None:
    (group,) = torch.load(folder / "optim.pth", weights_only=True)["param_groups"]
    assert (group["lr"], group["weight_decay"]) == (pytest.approx(rate), decay)
    scheduler = torch.load(folder / "scheduler.pth", weights_only=True)
    assert scheduler["last_epoch"] == int(folder.name.removeprefix("epoch_"))


def test_own_frames_and_four_numbers_are_enough(street, tmp_path, run):
    frames = next(iter(sorted((street / "kitti/2011_09_26").glob("*_sync/image_02/data"))))
    own = tmp_path / "own"
    own.mkdir()
    (own / "walk").symlink_to(frames, target_is_directory=True)
    result = run(
        "train.py",
        *tiny_options("", tmp_path / "ck"),
        "--depth-training-loaders",
        "folder_train",
        "--data-folder",
        own,
        "--data-intrinsics",
        "74,123,64,32",
        "--segmentation-training-loaders",
        "",
        "--train-num-epochs",
        "1",
        "--train-scheduler-gamma",
        "released",
        "--train-scheduler-step-size",
        "1",
    )
    assert result.returncode == 0, result.stderr
    assert len(losses(result.stdout)) == 3
    assert_schedule(tmp_path / "ck" / RUN / "checkpoints/epoch_1", rate=1e-8, decay=0.0)


def test_masking_starts_in_the_epoch_it_is_told(street, tmp_path, run):
    result = run(
        "train.py",
        *tiny_options(street, tmp_path),
        "--masking-enable",
        "--masking-from-epoch",
        "1",
        "--train-batches-per-epoch",
        "1",
    )
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith(("masking:", "epoch"))]
    assert [line.split()[0] for line in lines] == ["epoch", "epoch", "masking:"]


def test_a_damaged_image_found_on_the_way_costs_nothing_of_the_run(street, tmp_path, run):
    data = tmp_path / "data"
    shutil.copytree(street, data)
    options = tiny_options(data, tmp_path / "ck")
    victims = sorted(data.glob("kitti/2011_09_26/*/image_0[23]/data/*.png"))
    for path in victims:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255  # head and end stay whole, so only decoding finds it
        path.write_bytes(content)
    kept = {path: path.read_bytes() for path in sorted(street.glob("kitti/2011_09_26/*/image_0[23]/data/*.png"))}
    result = run(
        "train.py",
        *options,
        "--depth-training-batch-size",
        "1",
        "--segmentation-validation-loaders",
        "cityscapes_validation",
        "--depth-training-loaders",
        "",
        "--masking-from-epoch",
        "1",
        "--depth-validation-loaders",
        "kitti_zhou_validation",
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert ".png" in result.stderr.splitlines()[-1]
    for path, content in kept.items():
        (data / path.relative_to(street)).write_bytes(content)
    result = run(
        "train.py",
        *options,
        "--depth-training-loaders",
        "",
        "--resume",
        "auto",
        "--train-num-epochs",
        "1",
        "--depth-validation-loaders",
        "kitti_zhou_validation",
    )
    assert result.returncode == 0, result.stderr
    assert "going on from" in result.stdout and "epoch 1, batch 0, step 3" in result.stdout
    assert not losses(result.stdout)


def test_real_recordings_train(tmp_path, run):
    data = real_data.dataset_folder(tmp_path / "data")
    options = tiny_options(data, tmp_path / "ck")
    result = run(
        "train.py",
        *options,
        "--train-num-epochs",
        "1",
        "--train-batches-per-epoch",
        "2",
        "--segmentation-resize-height",
        "128",
        "--segmentation-resize-width",
        "256",
        "--depth-validation-loaders",
        "",
    )
    assert result.returncode == 0, result.stderr
    assert len(losses(result.stdout)) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset-dir", "missing"], "--dataset-dir missing: no such folder"),
        (["--depth-training-loaders", "kitti_zhu_train"], "kitti_zhou_train"),
        (["--depth-resize-height", "200"], "nearest are 192 and 224"),
        (["--depth-resize-height", "96"], "make them equal"),
        (["--depth-training-batch-size", "400"], "--depth-training-batch-size 400"),
        (["--depth-training-loaders", "folder_train"], "--data-folder"),
        (["--depth-training-loaders", "", "--segmentation-training-loaders", ""], "name a data set"),
        (["--masking-enable", "--segmentation-training-loaders", ""], "--masking-enable"),
        (["--model-load", "nowhere"], "holds no model.pth"),
    ],
)
def test_mistakes_are_one_sentence_before_training_starts(street, tmp_path, run, words, message):
    result = run("train.py", *tiny_options(street, tmp_path), *words)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert message in lines[-1] and lines[-1].startswith("error: ") and "Traceback" not in result.stderr
    assert not losses(result.stdout)


def test_no_folder_at_all_names_the_variable(run):
    result = run("train.py")
    assert result.returncode == 2 and "IFN_DIR_DATASET" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_where_the_checkpoint_folder_belongs(street, tmp_path, run):
    (tmp_path / "file").write_text("")
    result = run("train.py", *tiny_options(street, tmp_path / "file"))
    assert result.returncode == 2 and "run folder cannot be made" in result.stderr
