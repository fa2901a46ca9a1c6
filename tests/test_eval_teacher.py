"""``eval_depth.py --method dpt``: a teacher judged by itself, from the command line to the files it leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import arguments
import eval_depth
import models
import state_manager
from errors import UserError
from evaluation.depth import METRICS
from tests import commands
from tests.models import dpt_file

pytestmark = pytest.mark.usefixtures("thin")


@pytest.fixture(scope="module")
def place(tmp_path_factory, street) -> SimpleNamespace:
    runs = tmp_path_factory.mktemp("teacher") / "runs"
    return SimpleNamespace(data=street, runs=runs, file=dpt_file.write(runs / "weights" / "mine.pt"))


def flags(place: SimpleNamespace, *more: object) -> list[str]:
    return [
        *map(
            str,
            (
                "--method",
                "dpt",
                "--sys-cpu",
                "--sys-num-workers",
                0,
                "--dataset-dir",
                place.data,
                "--checkpoint-dir",
                place.runs,
                "--model-load",
                "weights/mine.pt",
                "--eval-num-images",
                1,
                "--depth-validation-loaders",
                "kitti_zhou_test",
                *more,
            ),
        )
    ]


def outcome(place: SimpleNamespace, name: str) -> tuple[dict, Path]:
    folder = place.runs / "dpt" / name
    return json.loads((folder / "metrics.json").read_text())["kitti_zhou_test_depth"], folder


def test_a_relative_teacher_is_aligned_and_reported(place, run):
    done = run("eval_depth.py", *flags(place, "--model-name", "relative"))
    assert done.returncode == 0, done.stderr
    entry, folder = outcome(place, "relative")
    assert set(entry["metrics"]) == set(METRICS) and 0 < entry["metrics"]["abs_rel"] < 2
    assert entry["protocol"]["scaling"] == "least squares per image: scale and shift of inverse depth"
    assert entry["protocol"]["crop"] == "garg" and entry["protocol"]["teacher"]["name"] == "mine.pt"
    assert entry["origin"]["checkpoint"] == str(place.file)
    assert entry["origin"]["sha256"] == entry["protocol"]["teacher"]["sha256"]
    assert f"&{entry['metrics']['abs_rel']: 8.3f}" in done.stdout and "Scaling ratios" not in done.stdout
    rows = list(csv.DictReader((folder / "metrics_kitti_zhou_test_depth.csv").read_text().splitlines()))
    assert len(rows) == entry["images"] > 1
    (picture,) = (folder / "eval_images/kitti_zhou_test_depth").glob("img_0.png")
    assert Image.open(picture).width == 128


def test_a_teacher_sees_mirrored_images_on_request(place, monkeypatch):
    def build(name: str, fetch: bool) -> torch.nn.Module:
        teacher = real(name, fetch=fetch)
        teacher.network.forward = lambda x: x.exp()[:, 0] * torch.linspace(1, 2, x.shape[-1])
        return teacher

    real = models.build_teacher
    monkeypatch.setattr(models, "build_teacher", build)
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "--model-name", "both", "--post-process")))
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "--model-name", "alone")))
    both, alone = outcome(place, "both")[0], outcome(place, "alone")[0]
    assert both["protocol"]["flip"] and both["metrics"]["abs_rel"] != alone["metrics"]["abs_rel"]


def test_a_metric_teacher_is_neither_scaled_nor_aligned(place, monkeypatch):
    (place.runs / "weights" / "dpt_hybrid_kitti.pt").symlink_to(place.file)
    seen = []

    def build(name: str, fetch: bool) -> torch.nn.Module:
        teacher = real(name, fetch=fetch)
        teacher.network.forward = lambda x: seen.append(x.shape) or torch.full_like(x[:, 0], 0.1)
        return teacher

    real = models.build_teacher
    monkeypatch.setattr(models, "build_teacher", build)
    words = ("--model-load", "weights/dpt_hybrid_kitti.pt", "--model-name", "metric")
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, *words)))
    entry, _ = outcome(place, "metric")
    assert entry["protocol"]["scaling"] == "none" and "352 rows at the bottom" in entry["protocol"]["crop"]
    assert entry["protocol"]["teacher"]["name"] == "dpt-hybrid-kitti" and set(seen) == {(1, 3, 352, 704)}
    eval_depth.evaluate(arguments.parse("eval_depth", flags(place, *words, "--depth-validation-fixed-scaling", "2")))
    scaled, _ = outcome(place, "metric")
    assert scaled["protocol"]["scaling"] == "fixed 2" and scaled["metrics"] != entry["metrics"]


@pytest.mark.parametrize("where", ["absolute", "working folder", "checkpoint folder"])
def test_a_file_is_found_where_one_would_look(place, monkeypatch, where):
    given = {"absolute": str(place.file), "working folder": "mine.pt", "checkpoint folder": "weights/mine.pt"}[where]
    monkeypatch.chdir(place.file.parent)
    args = arguments.parse("eval_depth", flags(place, "--model-load", given))
    model = state_manager.find_network(args, "depth")(torch.device("cpu"))
    assert model.identity["name"] == "mine.pt" and not model.native


@pytest.mark.parametrize(
    "change, fault",
    [
        (("--model-load", ""), "--model-load: not given; name a teacher, such as dpt-hybrid"),
        (
            ("--model-load", "dpt-hybrid", "--method", "sgdem"),
            "dpt-hybrid: a frozen teacher; eval_depth.py --method dpt",
        ),
        (("--model-load", "nowhere.pt"), "nowhere.pt: neither a weight file nor a known teacher"),
        (("--model-load", "dpt-large"), "is not there; pass --fetch to download https://"),
        (("--model-load", "start/model.pth"), "not a weight file of DPT"),
        (("--depth-validation-fixed-scaling", "2"), "knows no metres"),
        (("--patch-refine",), "--patch-refine"),
    ],
)
def test_mistakes_are_told_in_one_sentence(place, tmp_path, monkeypatch, change, fault):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    if not (place.runs / "start").is_dir():
        commands.write_checkpoint(place.runs / "start")
    with pytest.raises(UserError, match=fault):
        eval_depth.evaluate(arguments.parse("eval_depth", flags(place, "--model-name", "none", *change)))


def test_only_depth_knows_teachers():
    for command in ("train", "eval_pose", "eval_segmentation"):
        with pytest.raises(UserError, match="'dpt' is not one of"):
            arguments.parse(command, ["--method", "dpt"])
