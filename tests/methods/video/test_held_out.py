"""Video that is kept from training and has no depth is measured by how far its neighbours explain a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from dataloader.batch import Batch, Truth
from dataloader.prepare.__main__ import main as prepare
from errors import UserError
from hubconf import evaluate
from methods.video.held_out import explain
from models.prediction import Prediction
from perspective_resample.depth import DepthMap
from tests.batches import street_batch
from tests.commands import error_of
from tests.conftest import tiny_options
from tests.dataloader import tiny

FOCAL = 0.58 * 64  # pixels; a metre to the side moves what is so many metres away by a pixel


def batch(seed: int = 0) -> Batch:
    """Two frames whose neighbours are moved by a pixel, a step to the right from each to the next."""
    found = street_batch("depth", seed=seed)
    truth = tuple(Truth(f"{seed}/{number}", np.zeros((64, 64, 3), np.uint8)) for number in range(2))
    return replace(found, truth=truth)


def depth_of(metres: float):
    def predict(image: Tensor) -> Prediction:
        return Prediction(depth=DepthMap(torch.full_like(image[:, :1], 1 / metres), True, "up to scale"))

    return predict


def step_of(metres: float):
    def predict_motion(first: Tensor, _: Tensor) -> Tensor:
        motion = torch.eye(4).repeat(len(first), 1, 1)
        motion[:, 0, 3] = -metres
        return motion

    return predict_motion


def plain_error(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """0.85 (1 - SSIM) / 2 + 0.15 difference of images (3, H, W), pixel by pixel, of windows inside the image."""
    windows = [
        np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (3, 3), axis=(1, 2))
        for image in (first, second)
    ]
    x, y = (each.mean(axis=(-2, -1)) for each in windows)
    xx, yy, xy = ((a * b).mean(axis=(-2, -1)) for a, b in (windows[:1] * 2, windows[1:] * 2, windows))
    ssim = (2 * x * y + 1e-4) * (2 * (xy - x * y) + 9e-4)
    ssim /= (x * x + y * y + 1e-4) * (xx - x * x + yy - y * y + 9e-4)
    difference = np.abs(first - second).mean(axis=0)[1:-1, 1:-1]
    return 0.85 * np.clip((1 - ssim) / 2, 0, 1).mean(axis=0) + 0.15 * difference


def test_a_network_that_knows_the_way_explains_the_frames():
    right = explain(depth_of(FOCAL), step_of(1.0), [batch(0), batch(1)])
    assert right.names == ("0/0", "0/1", "1/0", "1/1") and right.errors.shape == (4, 2)
    assert right.protocol(3).items() >= {"size": [64, 64], "frame_step": 3}.items()
    moved, unmoved = right.metrics.values()
    assert moved < 0.1 * unmoved  # but for rounded levels and what comes in at the sides
    wrong = explain(depth_of(FOCAL), step_of(-1.0), [batch(0), batch(1)])
    assert wrong.metrics["photometric"] > unmoved == wrong.metrics["photometric_unmoved"]


def test_a_camera_that_stands_still_explains_as_much_as_the_neighbours_as_they_are():
    given = batch()
    found = explain(depth_of(5.0), step_of(0.0), [given])
    np.testing.assert_allclose(found.errors[:, 0], found.errors[:, 1], rtol=1e-4)
    before, frame, after = (given.inputs[offset][0].numpy() for offset in (-1, 0, 1))
    inner = np.minimum(plain_error(before, frame), plain_error(after, frame))
    assert found.errors[0, 1] == pytest.approx(inner.mean(), rel=0.05)  # the outermost pixels are in it as well


def test_predictions_that_are_none_are_told():
    with pytest.raises(UserError, match=r"depth: the network gives NaN or infinite numbers for 2 of 2 images"):
        explain(depth_of(FOCAL), step_of(float("nan")), [batch()])
    with pytest.raises(UserError, match="NaN or infinite"):
        explain(depth_of(float("nan")), step_of(1.0), [batch()])


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Fourteen frames of one's own, without depth."""
    folder = tmp_path_factory.mktemp("walk")
    for number in range(14):
        tiny.save(folder / f"{number}.png", np.roll(tiny.picture(0), number, axis=1))
    return folder


def own(walk, checkpoints) -> list[object]:
    """Words of a training on the first nine of them."""
    words = {
        "--depth-training-loaders": "folder_train",
        "--data-folder": walk,
        "--data-intrinsics": "46,46,40,12",
        "--data-validation-share": 0.36,
        "--segmentation-training-loaders": "",
        "--train-batches-per-epoch": 1,
    }
    usual = tiny_options("", checkpoints)
    at = usual.index("--depth-validation-loaders")
    del usual[at : at + 2]
    return [*usual, *(word for pair in words.items() for word in pair)]


def test_training_measures_what_it_kept_and_keeps_the_best_of_it(walk, tmp_path, run):
    result = run("train.py", *own(walk, tmp_path), "--keep", "best=photometric")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "--depth-validation-loaders: not given, folder_video_validation is measured" in result.stdout
    assert any(
        line.endswith("Can use 3 images from the folder_video_validation_depth set for depth evaluation")
        for line in lines
    )
    assert "depth files are read" not in result.stdout
    measured = [line for line in lines if line.startswith("folder_video_validation_depth: photometric 0.")]
    assert len(measured) == 2 and all(", photometric_unmoved 0." in line for line in measured)
    scores = [float(line.split()[2].rstrip(",")) for line in measured]
    best = 1 + scores.index(min(scores))
    stay = {path.name for path in tmp_path.glob("*/*/checkpoints/*")}
    assert stay == {f"epoch_{best}", "epoch_2"}
    told = f"removed epoch_1; best photometric of folder_video_validation_depth: epoch_2, {scores[1]:.4f}"
    assert (told in result.stdout) == (best == 2)
    # Frames further apart are harder to explain: the best so far does not count any more.
    further = [*own(walk, tmp_path), "--keep", "best=photometric", "--train-num-epochs", 3, "--frame-step", 2]
    result = run("train.py", *further, "--data-validation-share", 0.5, "--resume", "auto")
    assert result.returncode == 0, result.stderr
    assert "best photometric of folder_video_validation_depth: epoch_3" in result.stdout


def test_who_has_no_motion_or_no_training_does_not_measure_it(walk, tmp_path, run):
    words = ["--depth-validation-loaders", "folder_video_validation", "--data-folder", walk]
    assert "has no depth; train.py measures it" in error_of(run("eval_depth.py", "--method", "sgdepth", *words))
    lens = {"data_folder": str(walk), "data_intrinsics": "46,46,40,12", "data_validation_share": 0.36}
    with pytest.raises(UserError, match="has no depth; train.py measures it"):
        evaluate(lambda image: np.ones(image.shape[:2], np.float32), words[1], known="metres", **lens)
    assert prepare(["export-gt", words[1], "--out", str(tmp_path / "truth.npz")]) == 2
    words += ["--method", "spatial_kd", "--depth-training-loaders", "folder_depth_train", "--checkpoint-dir", tmp_path]
    assert "learns no motion" in error_of(run("train.py", "--sys-cpu", *words, "--data-validation-share", 0.3))
