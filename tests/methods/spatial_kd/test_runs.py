"""Trainings of students from beginning to end: stopped and gone on with, judged, used."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import arguments
import eval_depth
import inference
import train
from models.spatial_kd import SpatialKD
from tests.dataloader.tiny import picture, save

pytestmark = pytest.mark.usefixtures("thin")

COMMON = {
    "--method": "spatial_kd",
    "--model-encoder": "resnet18",
    "--kd-teacher": "teacher",
    "--train-weights-init": "scratch",
    "--sys-num-workers": 0,
    "--train-num-epochs": 2,
    "--train-final-epochs": 0,
    "--train-batches-per-epoch": 2,
    "--train-checkpoint-frequency": 1,
    "--depth-training-loaders": "kitti_annotated_train",
    "--depth-training-batch-size": 2,
    "--depth-crop-height": 64,
    "--depth-crop-width": 64,
    "--depth-validation-loaders": "",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, thin) -> Path:
    """Folder of all runs, with a teacher."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "teacher").mkdir()
    torch.manual_seed(7)
    torch.save(SpatialKD("resnet50", norm="BN").state_dict(), folder / "teacher" / "model.pth")
    return folder


def trained(street: Path, runs: Path, name: str, *more: object) -> Path:
    values = COMMON | {"--dataset-dir": street, "--checkpoint-dir": runs, "--model-name": name}
    words = [*(str(word) for pair in values.items() for word in pair), "--sys-cpu", *map(str, more)]
    assert train.train(arguments.parse("train", words)) == 0
    return runs / "spatial_kd" / name / "checkpoints"


@pytest.fixture(scope="module")
def student(street, runs) -> Path:
    return trained(street, runs, "whole") / "epoch_2"


def test_a_student_goes_on_to_the_same_bit(street, runs, student):
    begun = runs / "spatial_kd" / "parts" / "checkpoints" / "epoch_1"
    shutil.copytree(student.with_name("epoch_1"), begun)
    trained(street, runs, "parts", "--resume", "auto")
    one, other = (torch.load(path / "model.pth", weights_only=True) for path in (student, begun.with_name("epoch_2")))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_students_checkpoint_has_the_decoder_of_its_teacher_and_its_norm(runs, student):
    teacher, own = (torch.load(path / "model.pth", weights_only=True) for path in (runs / "teacher", student))
    assert all(torch.equal(own[key], value) for key, value in teacher.items() if key.startswith("decoder."))
    options = json.loads((student / "meta.json").read_text())["options"]
    assert (options["model_norm"], options["model_encoder"], options["kd_teacher"]) == ("BN", "resnet18", "teacher")


def test_a_student_of_a_network_that_learned_alone_is_told_that_its_optimiser_is_another(street, runs, caplog):
    alone = trained(street, runs, "alone", "--kd-teacher", "", "--train-num-epochs", 1) / "epoch_1"
    trained(street, runs, "taught", "--model-load", alone)
    assert re.search(r"optim.pth: does not fit and is skipped \(a state of \d+ tensors for \d+\)", caplog.text)
    assert f"{alone}: goes on behind epoch 1, though not all of its training fits; pass" in caplog.text


def test_a_short_run_whose_learning_rate_would_fall_at_once_is_told(street, runs, caplog):
    trained(street, runs, "short", "--train-final-epochs", 5, "--train-num-epochs", 1)
    assert "--train-final-epochs 5: the run has 1 epochs, and the learning rate falls until its end" in caplog.text


def test_a_student_is_judged_in_metres_without_scaling(street, runs, student, caplog):
    words = ["--checkpoint-dir", runs, "--dataset-dir", street, "--model-load", student, "--model-name", "judged"]
    words += ["--depth-validation-resize-width", 64]
    eval_depth.evaluate(arguments.parse("eval_depth", [*map(str, words), "--sys-cpu", "--eval-num-images", "1"]))
    (entry,) = json.loads((runs / "spatial_kd" / "judged" / "metrics.json").read_text()).values()
    protocol = entry["protocol"]
    assert (protocol["scaling"], protocol["name"], protocol["flip"]) == ("none", "kitti_annotated", False)
    assert {"abs_rel", "abs_diff", "log10"} <= {*entry["metrics"]}
    assert "--depth-validation-resize-width: without effect, this network sees images at their own size" in caplog.text


def test_a_student_is_used_on_an_image_of_any_size(tmp_path, student):
    save(tmp_path / "in" / "photo.png", picture(0, (70, 101)))
    words = ["--model-path", student, "--image-path", tmp_path / "in", "--output-path", tmp_path / "out"]
    assert inference.infer(arguments.parse("inference", [*map(str, words), "--save-arrays", "--sys-cpu"])) == 0
    depth = np.load(tmp_path / "out" / "photo_depth.npy")
    assert depth.shape == (70, 101) and 0 < depth.min() <= depth.max() <= 80
