"""``--patch-refine``: disparities of a trained network refined patch by patch, where they are judged and saved."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import arguments
import eval_depth
import inference
import state_manager
from errors import UserError
from losses.patches.refine import PatchRefiner
from losses.patches.use import RefinedNetwork
from methods.refinement import open_refinement
from models.sgdepth import SGDepth
from perspective_resample.depth import scale_disparity
from tests import commands
from tests.models import dpt_file
from visual.video import VideoWriter, describe

pytestmark = pytest.mark.usefixtures("thin")

HEIGHT, WIDTH = 96, 320
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory, street) -> SimpleNamespace:
    """An untrained network, and pictures whose patches differ in gradients."""
    folder = tmp_path_factory.mktemp("refinement")
    commands.write_checkpoint(folder / "runs/start")
    (folder / "in").mkdir()
    for name in "ab":
        Image.fromarray(photo(ord(name))).save(folder / "in" / f"{name}.png")
    return SimpleNamespace(data=street, runs=folder / "runs", images=folder / "in", folder=folder)


def photo(seed: int) -> np.ndarray:
    """Flat on the left, noisy on the right; (96, 320, 3) uint8."""
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    noise[:, : WIDTH // 2] = 128
    return noise


def words(place: SimpleNamespace, command: str, *more: object) -> list[str]:
    common = ["--method", "sgdepth", "--sys-cpu", *more]
    if command == "inference":
        given = [
            "--model-path",
            place.runs / "start",
            "--image-path",
            place.images,
            "--save-arrays",
            "--inference-resize-height",
            HEIGHT,
            "--inference-resize-width",
            WIDTH,
        ]
    else:
        given = [
            "--sys-num-workers",
            0,
            "--dataset-dir",
            place.data,
            "--checkpoint-dir",
            place.runs,
            "--model-load",
            "start",
            "--eval-num-images",
            1,
            "--depth-validation-loaders",
            "kitti_zhou_test",
            "--depth-validation-resize-height",
            HEIGHT,
            "--depth-validation-resize-width",
            WIDTH,
        ]
    return [str(word) for word in (*given, *common)]


def parse(place: SimpleNamespace, command: str, *more: object) -> arguments.Namespace:
    return arguments.parse(command, words(place, command, *more))


class Half(torch.nn.Module):
    """A teacher; its inverse depth is the brightness."""

    identity = {"name": "half", "sha256": ""}

    def forward(self, rgb: torch.Tensor) -> torch.Tensor:
        return rgb.mean(1)


@pytest.mark.parametrize("teacher", [None, Half()])
def test_predictions_change_where_patches_lie_and_only_in_the_finest_disparity(place, teacher):
    model = state_manager.find_network(parse(place, "inference"), "depth")(CPU)
    refiner = PatchRefiner(maximum=3)
    images = torch.stack([torch.from_numpy(photo(seed)) for seed in (1, 2)]).permute(0, 3, 1, 2) / 255
    network = RefinedNetwork(model, refiner, teacher, 64)
    with torch.inference_mode():
        plain, found, classes = (
            model.predict(images),
            network.predict(images),
            network.predict(images, ("segmentation",)),
        )
        direct = refiner(images, model.outputs(images).disp[0], model.depth_branch(), teacher)
    covered = direct.covered
    assert 0 < covered.sum() < covered.numel() and direct.count == 6
    assert_close(found.depth.values, scale_disparity(direct.disparity, 0.1, 100.0))
    assert found.depth.inverse and found.depth.known == "up to scale"
    assert torch.equal(found.depth.values[~covered], plain.depth.values[~covered])
    assert (found.depth.values[covered] != plain.depth.values[covered]).float().mean() > 0.9
    assert torch.equal(found.logits, plain.logits) and torch.equal(classes.logits, plain.logits)
    assert classes.depth is None and network.seconds == 0  # of the last call, which refined nothing


def test_a_refined_network_says_what_refines_it_and_sees_what_the_network_sees(monkeypatch):
    model = SGDepth(depth_range=(0.5, 20.0))
    network = RefinedNetwork(model, PatchRefiner(maximum=3), Half(), 64)
    assert network.describe()["refinement"]["patch_size"] == 64
    assert network.describe()["refinement"]["teacher"] == Half.identity and network.input_filter == "bilinear"
    assert not network.training and not model.training
    monkeypatch.setattr(SGDepth, "describe", lambda self: {"size": [1, 2]}, raising=False)
    monkeypatch.setattr(SGDepth, "input_filter", "lanczos", raising=False)
    again = RefinedNetwork(model, PatchRefiner(), None, 64)
    assert again.describe()["size"] == [1, 2] and again.describe()["refinement"]["teacher"] == "none"
    assert again.input_filter == "lanczos"


def test_arrays_of_inference_are_the_refined_ones(place, tmp_path):
    for name, more in (("plain", ()), ("refined", ("--patch-refine", "--patch-fusion-weight", 1, "--patch-max", 4))):
        args = parse(place, "inference", "--output-path", tmp_path / name, *more)
        assert inference.infer(args) == 0
    model = state_manager.find_network(args, "depth")(CPU)
    image = torch.from_numpy(np.array(Image.open(place.images / "a.png"))).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        direct = PatchRefiner(maximum=4, share=1.0)(image, model.outputs(image).disp[0], model.depth_branch())
    plain, refined = (np.load(tmp_path / name / "a_disp.npy") for name in ("plain", "refined"))
    np.testing.assert_allclose(refined, scale_disparity(direct.disparity[0, 0], 0.1, 100).numpy(), rtol=1e-5)
    covered = direct.covered[0, 0].numpy()
    np.testing.assert_array_equal(refined[~covered], plain[~covered])
    assert (refined[covered] != plain[covered]).mean() > 0.9 and covered.any() and not covered.all()
    for kind in ("a_depth.npy", "a.jpg"):
        assert (tmp_path / "plain" / kind).read_bytes() != (tmp_path / "refined" / kind).read_bytes()
    assert (tmp_path / "plain/a_seg.npy").read_bytes() == (tmp_path / "refined/a_seg.npy").read_bytes()


def test_the_time_of_the_refinement_is_told(place, tmp_path, run):
    done = run("inference.py", *words(place, "inference", "--output-path", tmp_path / "out", "--patch-refine"))
    assert done.returncode == 0, done.stderr
    whole, part = re.search(r"Mean forward time: ([\d.]+) ms, ([\d.]+) ms of it patch refinement", done.stdout).groups()
    assert 0 < float(part) < float(whole)
    done = run("inference.py", *words(place, "inference", "--output-path", tmp_path / "plain"))
    assert re.search(r"Mean forward time: [\d.]+ ms\n", done.stdout)


def test_frames_of_a_video_are_refined(place, tmp_path):
    with VideoWriter(tmp_path / "drive.avi", 10) as writer:
        for seed in range(2):
            writer.write(photo(seed))
    for name, more in (("plain", ()), ("refined", ("--patch-refine",))):
        where = ("--image-path", tmp_path / "drive.avi", "--output-path", tmp_path / name)
        args = parse(place, "inference", *where, *more)
        assert inference.infer(args) == 0
        assert describe(tmp_path / name / "drive.mp4") == (10, 2)
    plain, refined = (np.load(tmp_path / name / "drive_000001_disp.npy") for name in ("plain", "refined"))
    assert 0 < (plain != refined).mean() < 1


def entry(place: SimpleNamespace, name: str) -> dict:
    path = place.runs / "sgdepth_eccv_test" / name / "metrics.json"
    return json.loads(path.read_text())["kitti_zhou_test_depth"]


def test_refined_depth_is_judged_and_the_protocol_says_so(place, run):
    more = ("--patch-refine", "--patch-fusion-weight", "0.9", "--depth-validation-batch-size", "3", "--model-name")
    done = run("eval_depth.py", *words(place, "eval_depth", *more, "refined"))
    assert done.returncode == 0, done.stderr
    for name, more in (("plain", ()), ("one", ("--patch-refine", "--patch-fusion-weight", "0.9"))):
        eval_depth.evaluate(parse(place, "eval_depth", "--model-name", name, *more))
    plain, refined, one = (entry(place, name) for name in ("plain", "refined", "one"))
    assert plain["protocol"].pop("refinement") == "none"
    assert refined["protocol"].pop("refinement") == {
        "teacher": "none",
        "patch_size": 64,
        "patch_max": 0,
        "enlarge": False,
        "fusion_weight": 0.9,
        "blend": "window",
    }
    assert plain["protocol"] == refined["protocol"]
    # An untrained network refines little, still ten times more than what batches may round differently.
    found, same, other = (entry["metrics"]["abs_rel"] for entry in (refined, one, plain))
    assert found == pytest.approx(same, rel=1e-6) and found != pytest.approx(other, rel=1e-5)
    pictures = [
        next((place.runs / f"sgdepth_eccv_test/{name}/eval_images/kitti_zhou_test_depth").glob("img_0.png"))
        for name in ("plain", "one")
    ]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()


def test_a_second_teacher_is_used_and_named(place, tmp_path):
    teacher = dpt_file.write(tmp_path / "mine.pt")
    more = ("--patch-refine", "--patch-max", 1, "--depth-validation-batch-size", 4, "--model-name")
    eval_depth.evaluate(parse(place, "eval_depth", *more, "two", "--patch-teacher", teacher))
    eval_depth.evaluate(parse(place, "eval_depth", *more, "self"))
    two, alone = entry(place, "two"), entry(place, "self")
    assert two["protocol"]["refinement"]["teacher"]["name"] == "mine.pt"
    assert len(two["protocol"]["refinement"]["teacher"]["sha256"]) >= 8
    assert two["metrics"] != alone["metrics"]


@pytest.mark.parametrize("command", ["inference", "eval_depth"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"height": 64},
            "-height 64 and -width 320: too small for --patch-refine; its patches of 64 pixels must be "
            "smaller on both axes; give --{}-height and -width of at least 96",
        ),
        (
            {"height": 192, "width": 128},
            "-height 192 and -width 128: .* patches of 128 pixels .*; pass --patch-size 64$",
        ),
        ({"--patch-size": 256}, "patches of 256 pixels .*; pass --patch-size 64$"),
        ({"--patch-size": 100}, "--patch-size: 100 is not a multiple of 64; nearest are 64 and 128"),
        ({"--patch-fusion-weight": 1.5}, "--patch-fusion-weight: 1.5 is out of range"),
        ({"--patch-blend": "windows"}, "closest: window"),
        ({"--patch-teacher": "dpt-hybird"}, "dpt-hybird"),
        ({"--patch-teacher": "dpt-hybrid"}, "is not there"),
        ({"--patch-teacher": "nowhere.pt"}, "nowhere.pt"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(place, tmp_path, monkeypatch, command, change, fault):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    prefix = {"inference": "inference-resize", "eval_depth": "depth-validation-resize"}[command]
    more = [
        word
        for name, value in change.items()
        for word in (name if name.startswith("--") else f"--{prefix}-{name}", value)
    ]
    more += ["--output-path", tmp_path / "out"] if command == "inference" else ["--model-name", "none"]
    with pytest.raises(UserError, match=fault.format(prefix)):
        args = parse(place, command, "--patch-refine", *more)
        (inference.infer if command == "inference" else eval_depth.evaluate)(args)
    assert not (tmp_path / "out").exists() and not (place.runs / "sgdepth_eccv_test" / "none").exists()


def test_without_refinement_its_other_options_are_idle(place, caplog):
    args = parse(place, "inference", "--patch-size", 512, "--patch-teacher", "nowhere.pt")
    network = torch.nn.Identity()
    assert open_refinement(args, "inference")(network) is network
    assert "--patch-size, --patch-teacher: without effect unless --patch-refine" in caplog.text


def test_mistakes_of_a_command_are_one_sentence(place, tmp_path, run):
    more = ("--output-path", tmp_path, "--patch-refine", "--inference-resize-height", 64)
    done = run("inference.py", *words(place, "inference", *more))
    assert "too small for --patch-refine" in commands.error_of(done)
