"""The ratio that evaluations of a checkpoint found, wherever they were kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from errors import UserError
from evaluation.remembered import remembered_ratio


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
        ratio, place = remembered_ratio(source)
        assert ratio == 31.5 and place == f"{tmp_path}/class/eval/metrics.json, kitti_zhou_test_depth"


def test_an_evaluation_in_the_run_itself_and_beside_a_published_file_are_found(tmp_path, checkpoint):
    evaluated(checkpoint.parents[1], str(checkpoint / "model.pth"), 30.0, "opt_eval_depth.json")
    assert remembered_ratio(checkpoint)[0] == 30.0
    evaluated(tmp_path / "published", "anything", 5.4)
    (tmp_path / "published" / "model.pth").touch()
    assert remembered_ratio(tmp_path / "published" / "model.pth")[0] == 5.4


def test_without_one_or_with_several_a_sentence_says_so(tmp_path, checkpoint):
    with pytest.raises(UserError, match="no evaluation of .*epoch_20 is stored; run eval_depth.py with --model-load"):
        remembered_ratio(checkpoint)
    evaluated(tmp_path / "class" / "a", str(checkpoint), 31.5)
    evaluated(tmp_path / "class" / "b", str(checkpoint), 32.0)
    with pytest.raises(UserError, match=r"found 31.5 \(.*\), 32 \(.*give one of these numbers"):
        remembered_ratio(checkpoint)


def test_an_evaluation_of_a_published_network_is_found_by_its_name(tmp_path):
    evaluated(tmp_path / "runs" / "class" / "eigen", "monodepth2:mono_640x192", 32.5)
    evaluated(tmp_path / "runs" / "class" / "other", "monodepth2:mono_1024x320", 31.0)
    source = tmp_path / "hub" / "mono_640x192"
    source.mkdir(parents=True)
    assert remembered_ratio(source, "monodepth2:mono_640x192", str(tmp_path / "runs"))[0] == 32.5
    with pytest.raises(UserError, match="no evaluation of monodepth2:stereo_640x192 is stored below --checkpoint-dir"):
        remembered_ratio(source, "monodepth2:stereo_640x192", str(tmp_path / "runs"))
