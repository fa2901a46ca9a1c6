"""SGDEM from the shell, through all its phases on a tiny street."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import arguments
import methods
from tests.commands import error_of, stopped_training
from tests.conftest import tiny_options
from tests.models.dpt_file import write as write_dpt

pytestmark = pytest.mark.usefixtures("thin")

RUN = Path("sgdem/sgdepth_base")
DOMAIN = "kitti_zhou_train_depth"


def options(data: Path, checkpoints: Path, **changed: object) -> list[str]:
    """Plain, then consistency from epoch 1, patches in 2 and 3, masking from 4; 96x128, where patches of 64 fit."""
    values = {
        "depth-resize-height": 96,
        "depth-resize-width": 128,
        "segmentation-resize-height": 144,
        "segmentation-resize-width": 288,
        "segmentation-crop-height": 96,
        "segmentation-crop-width": 128,
        "train-num-epochs": 5,
        "train-batches-per-epoch": 2,
        "train-tb-frequency": 1,
        "model-num-layers": 18,
        "model-disparity-bias": 0,
        "model-depth-resolutions": 1,
        "sd-consistency-from-epoch": 1,
        "patch-from-epoch": 2,
        "patch-until-epoch": 4,
        "patch-teacher": "none",
        "patch-gate": "none",
        "masking-from-epoch": 4,
        "train-depth-grad-scale": 1.0,
        **{k.replace("_", "-"): v for k, v in changed.items()},
    }
    words = [str(word) for name, value in values.items() for word in (f"--{name}", value)]
    return [*tiny_options(data, checkpoints), "--method", "sgdem", *words]


def scalars(folder: Path, name: str) -> list[float]:
    events = EventAccumulator(str(folder / "train"))
    events.Reload()
    return [event.value for event in events.Scalars(f"{DOMAIN}_{name}")]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pth", weights_only=True)


def assert_equal_weights(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert list(one) == list(other)
    different = [key for key in one if not torch.equal(one[key], other[key])]
    assert not different, different[:5]


def write_start(folder: Path, data: Path) -> None:
    """A network that sees cars everywhere and a rough disparity: something for every loss to work on."""
    torch.manual_seed(0)
    model = methods.building("sgdem").network(arguments.parse("train", options(data, folder)))
    with torch.no_grad():
        model.depth.multires.convs[0].weight.mul_(100)
        model.seg.multires.convs[0].bias[13] += 5
    folder.mkdir()
    torch.save(model.state_dict(), folder / "model.pth")


@pytest.fixture(scope="module")
def trained(street, tmp_path_factory, run):
    folder = tmp_path_factory.mktemp("sgdem")
    write_start(folder / "start", street)
    result = run(
        "train.py",
        *options(street, folder),
        "--model-load",
        "start",
        "--model-disable-lr-loading",
        "--train-learning-rate",
        "1e-6",
    )
    assert result.returncode == 0, result.stderr
    return folder / RUN, result.stdout


def test_every_term_is_there_in_its_phase_and_zero_outside(trained):
    folder, _ = trained
    steps = {name: scalars(folder, name) for name in ("loss", "loss_depth", "loss_sd", "loss_patch")}
    assert all(len(values) == 10 for values in steps.values())
    assert all(torch.tensor(values).isfinite().all() for values in steps.values())
    assert [value > 0 for value in steps["loss_sd"]] == [False] * 2 + [True] * 8
    assert [value > 0 for value in steps["loss_patch"]] == [False] * 4 + [True] * 4 + [False] * 2
    for loss, depth, consistency, patch in zip(*steps.values(), strict=True):
        assert loss == pytest.approx(2 * depth + consistency + patch, rel=1e-5)
    assert len(scalars(folder, "patch_count")) == 4 and min(scalars(folder, "patch_count")) > 0
    assert scalars(folder, "patch_passed") == [1.0] * 4


def test_masking_comes_last(trained):
    _, output = trained
    lines = [line for line in output.splitlines() if line.startswith(("masking:", "epoch"))]
    assert [number for number, line in enumerate(lines) if line.startswith("masking:")] == [len(lines) - 1]


def test_pictures_show_patches_and_classes(trained):
    folder, _ = trained
    events = EventAccumulator(str(folder / "images"), size_guidance={"images": 0})
    events.Reload()
    found = {tag: len(events.Images(tag)) for tag in events.Tags()["images"]}
    assert found[f"{DOMAIN}_images"] == 5 and found[f"{DOMAIN}_classes"] == 4 and found[f"{DOMAIN}_patches"] == 2


def test_teachers_have_no_place_in_the_checkpoint(trained):
    folder, _ = trained
    for epoch in (3, 5):
        checkpoint = folder / f"checkpoints/epoch_{epoch}"
        keys = weights(checkpoint)
        assert {key.split(".")[0] for key in keys} == {"common", "depth", "seg", "pose"}
        optimizer = torch.load(checkpoint / "optim.pth", weights_only=True)
        counted = sum(len(group["params"]) for group in optimizer["param_groups"])
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        assert counted == sum(not key.endswith(buffers) for key in keys)
        assert torch.load(checkpoint / "train.pth", weights_only=True)["patches"] == {}


def test_a_frozen_teacher_teaches_and_leaves_no_trace(street, tmp_path, run):
    teacher = write_dpt(tmp_path / "teacher.pt")
    result = run(
        "train.py",
        *options(
            street, tmp_path, train_num_epochs=1, patch_from_epoch=0, patch_teacher=teacher, patch_gate="photometric"
        ),
    )
    assert result.returncode == 0, result.stderr
    checkpoint = tmp_path / RUN / "checkpoints/epoch_1"
    plain = methods.building("sgdem").network(arguments.parse("train", options(street, tmp_path)))
    assert list(weights(checkpoint)) == list(plain.state_dict())
    optimizer = torch.load(checkpoint / "optim.pth", weights_only=True)
    assert sum(len(group["params"]) for group in optimizer["param_groups"]) == len(list(plain.parameters()))
    passed, losses = scalars(tmp_path / RUN, "patch_passed"), scalars(tmp_path / RUN, "loss_patch")
    assert [loss > 0 for loss in losses] == [share > 0 for share in passed]
    assert min(scalars(tmp_path / RUN, "patch_count")) > 0


def test_labelled_images_alone_need_no_teacher(street, tmp_path, run):
    result = run(
        "train.py",
        *options(street, tmp_path, train_num_epochs=1, patch_from_epoch=0),
        "--depth-training-loaders",
        "",
        "--patch-teacher",
        "nowhere.pt",
    )
    assert result.returncode == 0, result.stderr


def test_refining_alone_leaves_no_trace_in_the_network(street, tmp_path, run):
    common = {"train_num_epochs": 1, "sd_consistency_weight": 0}
    for name, more in (
        ("with", ["--patch-from-epoch", "0", "--patch-loss-weight", "0", "--patch-self-teacher", "student"]),
        ("without", ["--no-patch-distill"]),
    ):
        result = run("train.py", *options(street, tmp_path / name, **common), *more)
        assert result.returncode == 0, result.stderr
    assert_equal_weights(*(tmp_path / name / RUN / "checkpoints/epoch_1" for name in ("with", "without")))


def test_a_run_stopped_among_patches_goes_on_bit_for_bit(street, tmp_path, run, warm):
    words = options(street, tmp_path, train_batches_per_epoch=3, train_num_epochs=2, patch_from_epoch=0)
    whole = run("train.py", *words, "--model-name", "whole")
    assert whole.returncode == 0, whole.stderr
    saved = stopped_training(warm, words, tmp_path / RUN, "epoch 1/2 batch 1/3")
    assert "_batch_" in saved.name
    assert torch.load(saved / "train.pth", weights_only=True)["patches"]["kind"] == "snapshot"
    result = run("train.py", *words, "--resume", "auto")
    assert result.returncode == 0, result.stderr
    assert_equal_weights(tmp_path / RUN.parent / "whole/checkpoints/epoch_2", tmp_path / RUN / "checkpoints/epoch_2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patch-from-epoch", "4"], "--patch-from-epoch 4: must be below --patch-until-epoch 4"),
        (["--patch-size", "128"], "--patch-size 128: no such patch fits into the 96x128 network input"),
        (["--patch-size", "96"], "--patch-size: 96 is not a multiple of 64"),
        (["--patch-teacher", "nowhere.pt"], "or pass --patch-teacher none"),
        (["--patch-self-teacher", "nowhere"], "--patch-self-teacher nowhere: no checkpoint of that name"),
        (["--patch-teacher-cache", "nowhere"], "--patch-teacher-cache nowhere: --patch-teacher is none"),
        (["--patch-self-teacher", "snapshots"], "(closest: snapshot); give"),
        (["--patch-teacher", "dpt-hybrid", "--patch-teacher-cache", "nowhere"], "nowhere"),
        (["--segmentation-training-loaders", "", "--no-masking-enable"], "--sd-consistency-weight 10"),
        (["--segmentation-training-loaders", ""], "--no-masking-enable"),
        (["--model-num-classes", "7", "--no-masking-enable"], "--sd-consistency-weight 10: knows the classes"),
        (
            [
                "--model-aspp",
                "--segmentation-training-loaders",
                "",
                "--sd-consistency-weight",
                "0",
                "--no-masking-enable",
                "--depth-training-batch-size",
                "1",
            ],
            "--model-aspp",
        ),
    ],
)
def test_mistakes_are_one_sentence_before_training_starts(street, tmp_path, run, words, message):
    result = run("train.py", *options(street, tmp_path), *words)
    assert message in error_of(result)
    assert result.stderr.strip().count("\n") == 0, result.stderr
