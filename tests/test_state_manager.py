"""Checkpoints: written whole, verified, loaded from ours and from published files."""

from __future__ import annotations

import errno
import json
import os
import stat
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.optimizer import Rule, Schedule
from engine.run_folder import tell_of_namesakes
from engine.run_state import RunState
from errors import UserError
from losses.masking import DynamicClassMask
from methods import stored
from methods.stored import Stored, read_network
from models.sgdepth import SGDepth
from state_manager import checkpoints, find_network, load_into, needs_pretrained, settle_network, start, verify
from storage import checkpoint_folder
from storage.weights import read_state, read_state_dict
from tests import golden

pytestmark = pytest.mark.usefixtures("thin")


def small_state(masking: bool = False) -> RunState:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = Schedule(optimizer, Rule(step_size=2))
    mask = DynamicClassMask(0, 4, False, 0.5) if masking else None
    parts = {"masking": mask} if mask else {}
    return RunState(model, optimizer, schedule, parts, "sgdepth", {"method": "sgdepth", "model_num_layers": 18})


def load(state: RunState, folder: Path) -> None:
    load_into(state.model, read_network(folder), "sgdepth", strict=False)
    state.load_progress(folder)


def work(state: RunState, steps: int = 2) -> None:
    for _ in range(steps):
        state.optimizer.zero_grad()
        state.model(torch.rand(2, 3, 8, 8)).square().sum().backward()
        state.optimizer.step()
        state.step, state.batch = state.step + 1, state.batch + 1


def arguments(folder: Path, **changes: object) -> Namespace:
    values = {
        "method": "sgdepth",
        "checkpoint_dir": str(folder),
        "model_load": "",
        "model_decoder_path": "",
        "resume": "never",
        "overwrite": False,
        "model_disable_lr_loading": False,
        "config": [],
        "model_num_layers": 18,
        "train_num_epochs": 20,
        "train_batches_per_epoch": 10,
        "train_weights_init": "scratch",
        "said": [],
    }
    return Namespace(**{**values, **changes})


def test_a_run_continues_bit_for_bit(tmp_path):
    state = small_state(masking=True)
    work(state)
    ids = torch.full((1, 4, 4), 13)
    mask = state.parts["masking"]
    mask(ids, [ids])
    mask.threshold = 0.25
    state.schedule.set(1, 0)
    folder = state.save(tmp_path)
    assert folder.name == "epoch_0_batch_2"
    other = small_state(masking=True)
    load(other, folder)
    assert (other.epoch, other.batch, other.step) == (0, 2, 2)
    assert other.parts["masking"].threshold == 0.25 and other.parts["masking"].ious().tolist() == [1.0]
    for one in (state, other):
        torch.manual_seed(5)
        work(one)
    for a, b in zip(state.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert other.schedule.state_dict() == state.schedule.state_dict()


def test_published_layout_and_what_is_noted(tmp_path):
    state = small_state()
    state.epoch = 5
    folder = state.save(tmp_path)
    assert folder == tmp_path / "checkpoints/epoch_5"
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.pth", "optim.pth", "scheduler.pth", "train.pth", "meta.json"}
    counters = torch.load(folder / "train.pth", weights_only=True)
    assert counters["step"] == 0 and counters["epoch"] == 5
    noted = json.loads((folder / "meta.json").read_text())
    assert noted["method"] == "sgdepth" and noted["versions"]["torch"] == torch.__version__.split("+")[0]
    assert noted["options"]["model_num_layers"] == 18


def test_a_full_checkpoint_replaces_the_one_inside_its_epoch(tmp_path):
    state = small_state()
    state.batch = 3
    state.save(tmp_path)
    state.epoch, state.batch = 1, 0
    state.save(tmp_path)
    state.save(tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["epoch_1"]
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    state = small_state()
    folder = state.save(tmp_path)
    before = (folder / "model.pth").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_folder, "_save", full)
    with pytest.raises(UserError, match="No space left on device.*--resume auto"):
        state.save(tmp_path)
    assert (folder / "model.pth").read_bytes() == before
    verify(folder)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [folder.name]


def sync_of_folders_fails(monkeypatch: pytest.MonkeyPatch, code: int) -> list[int]:
    """From now on a disk answers so when it is to write a folder; gives the handles of folders it was asked about."""
    asked = []

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            asked.append(handle)
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    return asked


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_file_system_that_cannot_sync_folders_takes_checkpoints(tmp_path, monkeypatch, code):
    state = small_state()
    asked = sync_of_folders_fails(monkeypatch, code)
    verify(state.save(tmp_path), noted=True)
    state.epoch = 1
    verify(state.save(tmp_path), noted=True)
    assert len(asked) == 4


def test_a_disk_that_fails_to_sync_a_folder_is_told(tmp_path, monkeypatch):
    sync_of_folders_fails(monkeypatch, errno.EIO)
    with pytest.raises(UserError, match="Input/output error.*--resume auto"):
        small_state().save(tmp_path)


def begin(state: RunState, run_folder: Path, args: Namespace) -> None:
    start(state, run_folder, args, settle_network(run_folder, args))


def test_a_used_run_folder_is_refused_unless_told(tmp_path):
    state = small_state()
    state.epoch = 1
    folder = state.save(tmp_path)
    with pytest.raises(UserError, match="already holds epoch_1; pass --resume auto.*--overwrite"):
        start(small_state(), tmp_path, arguments(tmp_path))
    with pytest.raises(UserError, match="already holds"):
        start(small_state(), tmp_path, arguments(tmp_path, model_load=str(folder)))
    fresh = small_state()
    start(fresh, tmp_path, arguments(tmp_path, overwrite=True))
    assert fresh.epoch == 0 and not checkpoints(tmp_path)


def test_overwriting_a_run_with_its_own_checkpoint_loads_before_it_deletes(tmp_path):
    state = small_state()
    state.epoch = 1
    folder = state.save(tmp_path)
    other = small_state()
    begin(other, tmp_path, arguments(tmp_path, model_load=str(folder), overwrite=True))
    assert other.epoch == 1 and not checkpoints(tmp_path)
    state.save(tmp_path)
    with pytest.raises(UserError, match="holds no model.pth"):
        begin(small_state(), tmp_path, arguments(tmp_path, model_load="nowhere", overwrite=True))
    assert len(checkpoints(tmp_path)) == 1


def test_how_the_optimiser_computes_is_not_taken_from_a_checkpoint(tmp_path):
    state, other = small_state(), small_state()
    for which, fused in ((state, False), (other, True)):
        which.optimizer = torch.optim.Adam(which.model.parameters(), 1e-3, fused=fused)
    work(state)
    folder = state.save(tmp_path)
    content = torch.load(folder / "optim.pth", weights_only=True)
    del content["param_groups"][0]["fused"]
    (folder / "meta.json").unlink()
    torch.save(content, folder / "optim.pth")
    load(other, folder)
    assert other.optimizer.param_groups[0]["fused"] is True
    scaler = torch.amp.GradScaler("cpu")  # refuses to work with anything else
    scaler.scale(other.model(torch.rand(2, 3, 4, 4)).sum()).backward()
    scaler.step(other.optimizer)


def test_a_run_that_cannot_go_on_is_told_of_its_namesake_in_another_class(tmp_path, caplog):
    state = small_state()
    work(state)
    state.save(tmp_path / "old class" / "mine")
    for method, count in (("sgdem", 0), ("sgdepth", 1)):
        args = arguments(tmp_path, resume="auto", model_name="mine", method=method)
        tell_of_namesakes(tmp_path / "new" / "mine", args)
        tell_of_namesakes(tmp_path / "old class" / "mine", args)
        assert caplog.text.count("--experiment-class old class goes on with it") == count


def test_resuming_with_another_part_is_refused(tmp_path):
    state, other = small_state(), small_state()
    state.parts["patches"], other.parts["patches"] = nn.Linear(2, 1), nn.Linear(1, 1)
    work(state)
    state.save(tmp_path)
    with pytest.raises(UserError, match="train.pth: does not fit this run"):
        start(other, tmp_path, arguments(tmp_path, resume="auto"))


def test_resuming_with_another_network_or_optimiser_is_refused(tmp_path):
    state = small_state()
    work(state)
    folder = state.save(tmp_path)
    other = small_state()
    other.model = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(UserError, match="model.pth: 5 tensors unknown"):
        start(other, tmp_path, arguments(tmp_path, resume="auto"))
    other = small_state()
    other.optimizer = torch.optim.Adam(list(other.model.parameters())[:1], 1e-3)
    with pytest.raises(UserError, match="optim.pth: does not fit this run"):
        start(other, tmp_path, arguments(tmp_path, resume="auto"))
    with pytest.raises(UserError, match="--train-batches-per-epoch 1: the run was stopped behind batch 2"):
        start(small_state(), tmp_path, arguments(tmp_path, resume="auto", train_batches_per_epoch=1))
    assert folder.is_dir()


def fetches(run_folder: Path, args: Namespace) -> bool:
    return needs_pretrained(run_folder, args, settle_network(run_folder, args))


def test_imagenet_weights_are_fetched_only_where_no_checkpoint_replaces_them(tmp_path, network):
    wanted = options(train_weights_init="pretrained", resume="auto", model_load="", checkpoint_dir=str(tmp_path))
    assert fetches(tmp_path, wanted)
    wanted.model_load = "whole"
    (tmp_path / "whole").mkdir()
    torch.save(network.state_dict(), tmp_path / "whole/model.pth")
    assert not fetches(tmp_path, wanted)
    without_pose = {key: value for key, value in network.state_dict().items() if not key.startswith("pose.")}
    torch.save(without_pose, tmp_path / "whole/model.pth")
    assert fetches(tmp_path, wanted)
    wanted.model_load = ""
    (tmp_path / "checkpoints/epoch_1").mkdir(parents=True)
    assert not fetches(tmp_path, wanted)
    wanted.train_weights_init = "scratch"
    assert not fetches(tmp_path / "other", wanted)


def test_a_training_reads_the_network_that_it_begins_with_once(tmp_path, monkeypatch):
    state = small_state()
    folder = state.save(tmp_path / "old")
    (folder / "meta.json").unlink()
    read: list[Path] = []
    monkeypatch.setattr(stored, "read_state", lambda path: read.append(path) or read_state(path))
    begun = vars(arguments(tmp_path, model_load=str(folder), train_weights_init="pretrained"))
    args = Namespace(**vars(options()) | begun)
    found = settle_network(tmp_path / "new", args)
    needs_pretrained(tmp_path / "new", args, found)
    start(small_state(), tmp_path / "new", args, found)
    assert read == [folder / "model.pth"]


def test_a_network_to_evaluate_is_looked_for_once(tmp_path, monkeypatch, network):
    torch.save(network.state_dict(), tmp_path / "model.pth")
    asked: list[Namespace] = []
    monkeypatch.setattr(stored, "source_of", lambda args: asked.append(args) or tmp_path)
    find_network(options(checkpoint_dir=str(tmp_path), model_load="whole"), "depth")
    assert len(asked) == 1


def test_a_file_without_one_part_says_which(tmp_path, network):
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("pose.")}
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(UserError, match="it holds nothing of pose"):
        load_into(network, read_network(tmp_path), "sgdepth", strict=True)


def test_a_file_in_which_nothing_fits_is_refused_even_in_training(tmp_path, network):
    torch.save({"foo": torch.zeros(3)}, tmp_path / "model.pth")
    with pytest.raises(UserError, match="256 of 296 tensors missing .* no method knows its keys; give a checkpoint of"):
        load_into(network, read_network(tmp_path), "sgdepth", strict=False)


def test_fine_tuning_starts_counters_afresh(tmp_path):
    state = small_state()
    state.epoch = 7
    folder = state.save(tmp_path / "old")
    other = small_state()
    begin(other, tmp_path / "new", arguments(tmp_path, model_load=str(folder), model_disable_lr_loading=True))
    assert (other.epoch, other.step) == (0, 0)


def test_a_finished_checkpoint_says_why_nothing_trains(tmp_path, caplog):
    state = small_state()
    state.epoch = 20
    folder = state.save(tmp_path / "old")
    begin(small_state(), tmp_path / "new", arguments(tmp_path, model_load=str(folder)))
    assert "nothing is left to train" in caplog.text and "--model-disable-lr-loading" in caplog.text
    start(small_state(), tmp_path / "old", arguments(tmp_path, resume="auto"))
    assert "all 20 epochs are done; raise --train-num-epochs" in caplog.text


def test_published_checkpoints_load_without_our_notes(tmp_path, caplog):
    state = small_state()
    published = torch.optim.lr_scheduler.StepLR(state.optimizer, 7, 0.2)
    parts = {
        "model": state.model.state_dict(),
        "scheduler": published.state_dict(),
        "optim": {"state": {}, "param_groups": []},
        "train": {"step": 30, "epoch": 3},
    }
    for name, content in parts.items():
        torch.save(content, tmp_path / f"{name}.pth")
    other = small_state(masking=True)
    load(other, tmp_path)
    assert (other.epoch, other.step, other.batch, other.parts["masking"].threshold) == (3, 30, 0, 0.0)
    assert (other.schedule.rule.step_size, other.schedule.rule.gamma) == (7, 0.2)
    assert "optim.pth: does not fit" in caplog.text and "starts afresh" in caplog.text


@pytest.fixture(scope="module")
def network() -> SGDepth:
    torch.manual_seed(1)
    return SGDepth(split_pos=1)


def options(**changes: object) -> Namespace:
    values = {
        "method": "sgdepth",
        "model_num_layers": 18,
        "model_num_layers_pose": 18,
        "model_split_pos": 1,
        "model_depth_resolutions": 4,
        "model_num_classes": 20,
        "model_disparity_bias": 5.0,
        "model_depth_min": 0.1,
        "model_depth_max": 100.0,
        "model_decoder_path": "",
        "command": "inference",
        "said": ["method"],
    }
    return Namespace(**{**values, **changes})


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_published_files_load_in_both_containers_and_without_wrappers(tmp_path, network, legacy, prefix):
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save(state, tmp_path / "model.pth", _use_new_zipfile_serialization=not legacy)
    model = find_network(options(model_path=str(tmp_path / "model.pth")), "depth")(torch.device("cpu"))
    assert not model.training
    want = network.state_dict()
    assert all(torch.equal(value, want[key]) for key, value in model.state_dict().items())


@pytest.mark.usefixtures("whole_here")
@pytest.mark.parametrize("index", range(9))
def test_the_nine_published_networks_load_whole(index):
    from tests.models.test_sgdepth import expected_keys

    meta, _ = golden.load("sgdepth_state_dict_keys")
    config = meta["configs"][index]
    with torch.device("meta"):
        state = {key: torch.empty(shape) for key, shape in expected_keys(meta["configs"], config)}
        model = SGDepth(
            config["num_layers"], config["num_layers_pose"], config["split_pos"], config["depth_resolutions"]
        )
    load_into(model, Stored(Path("model.pth"), state, noted=False), "sgdepth", strict=True)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"layers": 34}, "--model-num-layers 34"),
        ({"pose_layers": 34}, "--model-num-layers-pose 34"),
        ({"split_pos": 3}, "--model-split-pos 3"),
        ({"resolutions": 2}, "--model-depth-resolutions 2"),
        ({"num_classes": 12}, "--model-num-classes 12"),
    ],
)
def test_a_file_of_another_network_says_which_option_to_change(tmp_path, network, changes, remedy):
    torch.save(SGDepth(**changes).state_dict(), tmp_path / "model.pth")
    with pytest.raises(UserError, match=rf"model\.pth: \d+ .*first: .*; pass .*{remedy}"):
        load_into(network, read_network(tmp_path), "sgdepth", strict=True)


def test_training_takes_what_fits_and_says_the_rest(tmp_path, network, caplog):
    state = network.state_dict()
    state.pop("depth.multires.convs.0.weight")
    state["stray"] = torch.zeros(1)
    torch.save(state, tmp_path / "model.pth")
    load_into(SGDepth(), read_network(tmp_path), "sgdepth", strict=False)
    assert "1 of 296 tensors missing (first: depth.multires.convs.0.weight)" in caplog.text
    assert "1 tensors unknown (first: stray)" in caplog.text
    with pytest.raises(UserError):
        load_into(SGDepth(), read_network(tmp_path), "sgdepth", strict=True)


class Evil:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize("content", [Evil(), {"a": 1}, [1, 2], {}])
def test_files_that_are_no_state_dict_are_refused_and_never_executed(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(UserError, match="model.pth"):
        read_state_dict(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 broken"])
def test_files_that_are_no_checkpoint_are_refused(tmp_path, content):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(UserError, match="not a checkpoint, damaged"):
        read_state_dict(tmp_path / "model.pth")
    with pytest.raises(UserError, match="cannot be read"):
        read_state_dict(tmp_path / "missing.pth")


def test_a_checkpoint_may_be_named_by_its_model_file(tmp_path):
    state = small_state()
    state.epoch = 3
    folder = state.save(tmp_path / "old")
    other = small_state()
    begin(other, tmp_path / "new", arguments(tmp_path, model_load=str(folder / "model.pth")))
    assert other.epoch == 3


def test_a_missing_checkpoint_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="holds no model.pth.*--model-load"):
        find_network(options(checkpoint_dir=str(tmp_path), model_load="nowhere"), "depth")
    with pytest.raises(UserError, match="--model-load: not given"):
        find_network(options(checkpoint_dir=str(tmp_path), model_load=""), "depth")
