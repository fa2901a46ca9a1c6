"""Exit codes, run folders, stop signals and what evaluations share."""

from __future__ import annotations

import json
import re
import signal
import sys
from argparse import Namespace
from pathlib import Path

import pytest

import harness
from errors import UserError
from methods.wanted import missing_networks

pytestmark = pytest.mark.usefixtures("thin")

ROOT = Path(__file__).parents[1]


def ended(monkeypatch: pytest.MonkeyPatch, run: object) -> int:
    monkeypatch.setattr(sys, "argv", ["eval_pose.py"])
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as stop:
            harness.main("eval_pose", run)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return stop.value.code


def raising(error: BaseException) -> object:
    def run(args: Namespace) -> int:
        raise error

    return run


def test_exit_codes_say_how_it_ended(monkeypatch, capsys):
    assert ended(monkeypatch, lambda args: None) == 0
    assert ended(monkeypatch, lambda args: 3) == 3
    assert ended(monkeypatch, raising(UserError("a: b;\n c"))) == 2
    assert capsys.readouterr().err == "error: a: b; c\n"
    assert ended(monkeypatch, raising(KeyboardInterrupt())) == 130
    assert ended(monkeypatch, raising(PermissionError(13, "Permission denied", "/a/file"))) == 2
    assert capsys.readouterr().err == "error: /a/file: Permission denied\n"


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["eval_pose.py"])
    with pytest.raises(ZeroDivisionError):
        harness.main("eval_pose", lambda args: 1 // 0)


def arguments_in(folder: Path) -> Namespace:
    return Namespace(
        checkpoint_dir=str(folder), experiment_class="a", model_name="b", config=[], data_intrinsics=(1.0,)
    )


def test_run_folder_holds_the_options(tmp_path):
    folder = harness.run_folder(arguments_in(tmp_path))
    harness.write_options(folder, arguments_in(tmp_path), "train")
    assert folder == tmp_path / "a/b"
    written = json.loads((folder / "opt.json").read_text())
    assert written["data_intrinsics"] == [1.0] and written["eval_avg_with_flipped"] is False


def test_evaluation_keeps_the_options_of_a_training_run(tmp_path):
    folder = harness.run_folder(arguments_in(tmp_path))
    (folder / "checkpoints").mkdir()
    (folder / "opt.json").write_text("{}")
    harness.write_options(folder, arguments_in(tmp_path), "eval_depth")
    assert (folder / "opt.json").read_text() == "{}"
    written = json.loads((folder / "opt_eval_depth.json").read_text())
    assert (written["train_learning_rate"], written["train_scheduler_step_size"]) == (0, 1000)


def test_a_file_where_the_run_folder_belongs_is_one_sentence(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="run folder cannot be made"):
        harness.run_folder(arguments_in(tmp_path))


def test_folders_must_be_given_and_exist(tmp_path):
    loaders = {"depth_training_loaders": ("kitti_zhou_train",)}
    with pytest.raises(UserError, match="--dataset-dir: not given.*IFN_DIR_DATASET"):
        harness.require_folders(Namespace(dataset_dir="", checkpoint_dir="x", **loaders))
    with pytest.raises(UserError, match="--checkpoint-dir: not given.*IFN_DIR_CHECKPOINT"):
        harness.require_folders(Namespace(dataset_dir=str(tmp_path), checkpoint_dir="", **loaders))
    with pytest.raises(UserError, match="no such folder"):
        harness.require_folders(Namespace(dataset_dir=str(tmp_path / "missing"), checkpoint_dir="x", **loaders))


@pytest.mark.parametrize("named", [(), ("kitti_zhou_validation",)])
def test_own_data_need_their_own_folder_alone(tmp_path, named):
    """Validation that nobody named gives way to what can be used."""
    own = {"depth_training_loaders": ("folder_train",), "depth_validation_loaders": ("kitti_zhou_validation",)}
    common = {"dataset_dir": "", "checkpoint_dir": "x", "said": ["depth_validation_loaders"] if named else [], **own}
    if named:
        with pytest.raises(UserError, match="^--dataset-dir: not given"):
            harness.require_folders(Namespace(data_folder=str(tmp_path), **common))
    else:
        harness.require_folders(Namespace(data_folder=str(tmp_path), **common))
    for folder, told in (
        (f"{tmp_path}/gone", f"--data-folder {tmp_path}/gone: no such folder"),
        ("", "not given; pass"),
    ):
        with pytest.raises(UserError) as error:
            harness.require_folders(Namespace(data_folder=folder, **common))
        assert told in str(error.value) and ("--dataset-dir" in str(error.value)) == bool(named)


def test_all_that_is_named_wrongly_is_told_at_once():
    args = Namespace(
        method="sgdem",
        dataset_dir="/nowhere",
        checkpoint_dir="/runs",
        model_load="typo",
        kd_teacher="dpt-hybird",
        kd_teacher_decoder="",
        depth_validation_loaders=("kitti_zhou_tset", "kitti_zhou_test"),
        segmentation_training_loaders=("cityscapes_trian",),
    )
    with pytest.raises(UserError) as error:
        harness.require_folders(args)
    for part in (
        "--dataset-dir /nowhere: no such folder",
        "also --depth-validation-loaders kitti_zhou_tset: no such loader (closest: kitti_zhou_test",
        "also --segmentation-training-loaders cityscapes_trian: no such loader",
        "also --model-load typo: /runs/typo is not there",
        "also --kd-teacher dpt-hybird: no such file or folder, nor below --checkpoint-dir; give a checkpoint of",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("method", "options", "fault"),
    [
        (
            "monodepth2",
            {"model_load": "monodepth2:mono_640x19"},
            "no published network .*closest: monodepth2:mono_640x192",
        ),
        ("monodepth2", {"model_load": "monodepth2:mono_640x192"}, "is not there; pass --fetch"),
        ("monodepth2", {"model_load": "monodepth2:mono_640x192", "fetch": True}, ""),
        ("dpt", {"model_load": "gone.pt"}, "--model-load gone.pt: neither a weight file"),
        ("dpt", {"model_load": "hf:some/model"}, ""),
        ("spatial_kd", {"kd_teacher": "gone/epoch_1"}, "--kd-teacher gone/epoch_1: no such file or folder"),
        (
            "sgdem",
            {"patch_teacher": "gone.pt", "patch_distill": True, "patch_teacher_cache": ""},
            "--patch-teacher gone",
        ),
        ("sgdem", {"patch_teacher": "gone.pt", "patch_distill": True, "patch_teacher_cache": "maps"}, ""),
        ("sgdem", {"patch_teacher": "gone.pt", "patch_distill": False}, ""),
        ("sgdem", {"teacher": "gone", "teacher_loss_weight": 1.0, "teacher_cache": ""}, "--teacher gone: neither"),
        ("sgdem", {"teacher": "gone", "teacher_loss_weight": 0.0, "teacher_cache": ""}, ""),
        ("sgdem", {"patch_teacher": "dpt-hybrid", "patch_distill": True, "patch_teacher_cache": ""}, ""),
        ("sgdem", {"patch_teacher": "dpt-hybrid", "patch_refine": True}, "dpt-hybrid: .* is not there; pass --fetch"),
        ("sgdem", {"patch_teacher": "dpt-hybrid", "patch_refine": True, "fetch": True}, ""),
    ],
)
def test_networks_that_are_not_there_are_told_without_a_look_at_files(tmp_path, monkeypatch, method, options, fault):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    told = "; also ".join(missing_networks(Namespace(method=method, checkpoint_dir=str(tmp_path), **options)))
    assert re.search(fault, told) if fault else not told
