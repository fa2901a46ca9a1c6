"""The ratio that evaluations of a checkpoint found, wherever they were kept."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
from torch import nn

from errors import UserError
from evaluation.remembered import evaluations, remembered_ratio
from methods.scaling import scaled
from storage.published import sha256
from visual.results import ResultFolder

OURS, OTHER = "a1" * 32, "b2" * 32
"""SHA-256 of the checkpoint that is asked for, and of another one."""


def evaluated(run: Path, checkpoint: str, ratio: float, name: str = "opt.json") -> None:
    run.mkdir(parents=True, exist_ok=True)
    entry = {"kitti_zhou_test_depth": {"metrics": {"ratio_median": ratio}}, "seg": {"metrics": {"miou": 0.3}}}
    (run / "metrics.json").write_text(json.dumps(entry))
    (run / name).write_text(json.dumps({"checkpoint_dir": str(run.parents[1]), "model_load": checkpoint}))


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    folder = tmp_path / "class" / "run" / "checkpoints" / "epoch_20"
    folder.mkdir(parents=True)
    (folder / "model.pth").touch()
    return folder


def test_an_evaluation_of_this_checkpoint_is_found_among_the_runs(tmp_path, checkpoint):
    evaluated(tmp_path / "class" / "eval", "class/run/checkpoints/epoch_20", 31.5)
    evaluated(tmp_path / "class" / "eval_older", "class/run/checkpoints/epoch_19", 7.0)
    for source in (checkpoint, checkpoint / "model.pth"):
        ratio, place = remembered_ratio(source, OURS)
        assert ratio == 31.5 and place == f"{tmp_path}/class/eval/metrics.json, kitti_zhou_test_depth"


def test_an_evaluation_in_the_run_itself_and_beside_a_published_file_are_found(tmp_path, checkpoint):
    evaluated(checkpoint.parents[1], str(checkpoint / "model.pth"), 30.0, "opt_eval_depth.json")
    assert remembered_ratio(checkpoint, OURS)[0] == 30.0
    evaluated(tmp_path / "published", "anything", 5.4)
    (tmp_path / "published" / "model.pth").touch()
    assert remembered_ratio(tmp_path / "published" / "model.pth", OURS)[0] == 5.4


def test_without_one_or_with_several_a_sentence_says_so(tmp_path, checkpoint):
    with pytest.raises(UserError, match="no evaluation of .*epoch_20 is stored; run eval_depth.py with --model-load"):
        remembered_ratio(checkpoint, OURS)
    evaluated(tmp_path / "class" / "a", str(checkpoint), 31.5)
    evaluated(tmp_path / "class" / "b", str(checkpoint), 32.0)
    with pytest.raises(UserError, match=r"found 31.5 \(.*\), 32 \(.*give one of these numbers"):
        remembered_ratio(checkpoint, OURS)


def test_an_evaluation_of_a_published_network_is_found_by_its_name(tmp_path):
    evaluated(tmp_path / "runs" / "class" / "eigen", "monodepth2:mono_640x192", 32.5)
    evaluated(tmp_path / "runs" / "class" / "other", "monodepth2:mono_1024x320", 31.0)
    source = tmp_path / "hub" / "mono_640x192"
    source.mkdir(parents=True)
    assert remembered_ratio(source, OURS, "monodepth2:mono_640x192", str(tmp_path / "runs"))[0] == 32.5
    with pytest.raises(UserError, match="no evaluation of monodepth2:stereo_640x192 is stored below --checkpoint-dir"):
        remembered_ratio(source, OURS, "monodepth2:stereo_640x192", str(tmp_path / "runs"))


def put(run: Path, **origins: dict[str, str] | None) -> None:
    """Evaluations of sets with their origin; each has another ratio, the first one 1."""
    run.mkdir(parents=True, exist_ok=True)
    table = {
        name: {"metrics": {"ratio_median": float(place)}} | ({"origin": origin} if origin else {})
        for place, (name, origin) in enumerate(origins.items(), 1)
    }
    (run / "metrics.json").write_text(json.dumps(table))


def test_an_entry_of_another_checkpoint_that_the_run_folder_keeps_is_none_of_this_one(tmp_path, checkpoint):
    run = tmp_path / "class" / "eval"
    evaluated(run, "class/run/checkpoints/epoch_20", 0.0)  # the last evaluation there, whose options remain
    put(run, ours={"sha256": OURS, "checkpoint": str(checkpoint)}, earlier={"sha256": OTHER})
    assert remembered_ratio(checkpoint, OURS) == (1.0, f"{run}/metrics.json, ours")
    with pytest.raises(UserError, match="no evaluation of .*epoch_20 is stored"):
        remembered_ratio(checkpoint, "c3" * 32)  # trained again since


def test_an_entry_of_this_checkpoint_counts_where_another_evaluation_replaced_the_options(tmp_path, checkpoint):
    run = tmp_path / "class" / "eval"
    evaluated(run, "class/run/checkpoints/epoch_19", 0.0)
    put(run, ours={"sha256": OURS}, unsaid=None)
    (tmp_path / "class" / "damaged").mkdir()
    (tmp_path / "class" / "damaged" / "metrics.json").write_text("{")
    assert remembered_ratio(checkpoint, OURS)[0] == 1.0
    assert [name for name, _ in evaluations(checkpoint, OURS)] == ["ours"]


def test_entries_beside_a_file_are_those_of_that_file(tmp_path):
    put(tmp_path, first={"sha256": OTHER, "files": ["a.pth"]}, second={"sha256": OURS, "files": ["b.pth"]})
    assert remembered_ratio(tmp_path / "b.pth", OURS)[0] == 2.0


def test_the_scale_of_inference_is_that_of_the_file_it_has_read(tmp_path, checkpoint):
    file = checkpoint / "model.pth"
    file.write_bytes(b"weights")
    put(tmp_path / "class" / "eval", other={"sha256": OTHER}, ours={"sha256": sha256(file)})
    args = Namespace(depth_scale="median", method="sgdepth", model_path=str(checkpoint), checkpoint_dir="")
    assert scaled(args, ResultFolder(tmp_path, ".png"), nn.Identity(), [file]).scale.factor == 2.0


def test_a_network_without_known_files_is_found_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, here=None)  # of whatever lies in the folder of the command
    put(tmp_path / "runs/class/eval", ours={"checkpoint": "hf:some/model"}, other={"checkpoint": "hf:other/model"})
    assert [name for name, _ in evaluations(None, "", "hf:some/model", str(tmp_path / "runs"))] == ["ours"]
