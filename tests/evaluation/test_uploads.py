"""Files for a server that has the truth: values, scale, and what the command does with its loader."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

import eval_depth
import train
from dataloader.catalog import find_loader
from dataloader.check.doctor import Options, examine
from dataloader.layouts.kitti_upload import FOLDER
from dataloader.prepare.__main__ import main as prepare
from dataloader.splits import resolve
from errors import UserError
from evaluation.protocols import DEPTH_PROTOCOLS
from evaluation.uploads import predicted_counts
from perspective_resample.depth import DepthMap
from tests import commands
from tests.dataloader import tiny

pytestmark = pytest.mark.usefixtures("thin")

SPEC = find_loader("depth", "kitti_benchmark_test")
SIZE = (44, 152)


def images(root: Path, place: str = "depth_selection", count: int = 3) -> None:
    for number in range(count):
        tiny.save(root / place / FOLDER / f"{number:010d}.png", tiny.picture(number, SIZE))


def counts(values: torch.Tensor, *, inverse: bool, known: str, scaling: float = 0.0) -> np.ndarray:
    """What is written for a network that answers `values` (h, w) to an image of 4 x 8."""
    truth = SimpleNamespace(name="0000000007", image=np.zeros((4, 8, 3), np.uint8))
    batch = SimpleNamespace(spec=SPEC, inputs={0: torch.zeros(1, 3, 2, 4)}, truth=(truth,))
    answer = SimpleNamespace(depth=DepthMap(values[None, None], inverse=inverse, known=known))
    found = predicted_counts(lambda _: answer, [batch], DEPTH_PROTOCOLS["kitti_benchmark"], fixed_scaling=scaling)
    ((name, written),) = found
    assert name == "0000000007" and written.dtype == np.uint16 and written.shape == (4, 8)
    return written


def test_disparity_is_resized_then_inverted_scaled_clamped_and_truncated():
    disparity = torch.linspace(0.01, 2, 8).view(2, 4)
    resized = cv2.resize(disparity.numpy(), (8, 4))  # as Monodepth2 does
    want = (np.clip(5.4 / resized, 0, 80) * 256).astype(np.uint16)
    found = counts(disparity, inverse=True, known="up to scale", scaling=5.4)
    assert np.abs(found.astype(int) - want).max() <= 1 and found.max() == 80 * 256


@pytest.mark.parametrize("blend", [False, True])
def test_the_mirrored_image_counts_as_the_protocol_says(blend):
    """Means everywhere, or, with --post-process, each answer alone at the side where it is right."""
    ramp = torch.linspace(10, 40, 40).expand(1, 1, 4, 40)

    def predict(image):
        return SimpleNamespace(depth=DepthMap(ramp.expand(len(image), 1, 4, 40), inverse=False, known="metres"))

    truth = SimpleNamespace(name="0", image=np.zeros((4, 40, 3), np.uint8))
    batch = SimpleNamespace(spec=SPEC, inputs={0: torch.zeros(1, 3, 4, 40)}, truth=(truth,))
    protocol = replace(DEPTH_PROTOCOLS["kitti_benchmark"], flip=True, blend=blend)
    ((_, written),) = predicted_counts(predict, [batch], protocol)
    assert (written[0, 0] == 25 * 256) == (not blend) and written[0, 20] == 25 * 256


def test_metres_are_written_as_they_are():
    assert (counts(torch.full((2, 4), 12.3), inverse=False, known="metres") == int(12.3 * 256)).all()


@pytest.mark.parametrize("known", ["up to scale", "up to scale and shift"])
def test_what_is_known_up_to_scale_alone_needs_a_scale(known):
    with pytest.raises(UserError, match=f"the network knows depth {known}, and there is no truth to tell the rest"):
        counts(torch.ones(2, 4), inverse=True, known=known)


def test_predictions_that_are_no_numbers_are_an_error():
    with pytest.raises(UserError, match="NaN or infinite numbers for 0000000007"):
        counts(torch.full((2, 4), float("nan")), inverse=False, known="metres")


@pytest.mark.parametrize("place", ["depth_selection", "kitti/depth_selection", "kitti_depth/data_depth_selection"])
def test_images_are_found_where_the_archive_was_unpacked(tmp_path, place, caplog):
    images(tmp_path, place)
    assert [sample.name for sample in resolve(SPEC, tmp_path)] == [f"{number:010d}" for number in range(3)]
    assert "3 images, and the benchmark has 500" in caplog.text
    assert not examine(SPEC, Options(dataset_dir=str(tmp_path)))[0].faults


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(UserError, match=rf"depth_selection/{FOLDER}: no images; unpack data_depth_selection\.zip"):
        resolve(SPEC, tmp_path)


def arguments_of(root: Path, *more: object) -> list[str]:
    words = [
        "--method",
        "sgdepth",
        "--sys-cpu",
        "--sys-num-workers",
        0,
        "--dataset-dir",
        root,
        "--checkpoint-dir",
        root,
    ]
    words += ["--model-load", "start", "--model-name", "judged", "--depth-validation-loaders", SPEC.name]
    return [*map(str, (*words, "--depth-validation-resize-height", 64, "--depth-validation-resize-width", 96, *more))]


def test_the_command_writes_a_file_of_its_name_for_every_image(tmp_path, run):
    images(tmp_path)
    commands.write_checkpoint(tmp_path / "start")
    done = run("eval_depth.py", *arguments_of(tmp_path, "--depth-validation-fixed-scaling", 5.4, "--depth-cap", 60))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "sgdepth_eccv_test/judged/uploads/kitti_benchmark_test_depth"
    assert f"{folder}: 3 files for the server, 16 bit, 1/256 m, up to 60 m" in done.stdout
    assert "truth is kept by the server" in done.stdout
    for number in range(3):
        depth = cv2.imread(str(folder / f"{number:010d}.png"), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16 and depth.shape == SIZE and 0 < depth.min() <= depth.max() <= 60 * 256
    assert not (folder.parents[1] / "metrics.json").exists()


def test_its_truth_is_asked_for_nowhere(tmp_path, capsys):
    images(tmp_path)
    with pytest.raises(UserError, match="the truth of kitti_benchmark_test is on a server alone"):
        resolve(SPEC, tmp_path, depth_gt="truth.npz")
    out = tmp_path / "x.npz"
    assert prepare(["export-gt", SPEC.name, "--dataset-dir", str(tmp_path), "--out", str(out)]) == 2
    assert "its truth is on a server alone" in capsys.readouterr().err
    options = SimpleNamespace(depth_validation_loaders=(SPEC.name,))
    with pytest.raises(UserError, match="eval_depth.py makes the files to upload"):
        train.check(options, lambda _: None)
    assert eval_depth.UPLOADS == "uploads"
