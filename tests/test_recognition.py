"""Checkpoints without notes: what their keys tell, what has to be said."""

from __future__ import annotations

import json
import logging
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import arguments
from errors import UserError
from methods.stored import read_network
from models.sgdepth import SGDepth
from models.teacher import Teacher
from state_manager import checkpoints, find_network, load_into, load_other, settle_network, teacher_door
from storage.checkpoint_folder import described
from storage.notes import METADATA, as_text
from tests import golden
from tests.conftest import tiny_options
from tests.models import dpt_file

pytestmark = pytest.mark.usefixtures("thin")

CPU = torch.device("cpu")
SMALL = {"layers": 18, "split_pos": 2, "resolutions": 2, "num_classes": 7}


def network(variant: str, **changes: object) -> SGDepth:
    torch.manual_seed(0)
    return SGDepth(**{**SMALL, **changes}, disparity_bias=0.0, attention={"variant": variant}).eval()


def unused_layers(channels: int = 64) -> dict[str, Tensor]:
    """What the released SGDEM code stores besides: layers that take part in nothing."""
    return {
        f"{part}.encoder.{name}": torch.zeros(shape)
        for part in ("common", "pose")
        for name, shape in {
            "dilated_conv.conv.weight": (channels, channels, 3, 3),
            "dilated_conv.conv.bias": channels,
            "convx.weight": (256, 768, 1, 1),
            "convx.bias": 256,
        }.items()
    }


def write(folder: Path, state: dict[str, Tensor], notes: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "model.pth")
    if notes is not None:
        files = {"model.pth": described(folder / "model.pth")}
        (folder / METADATA).write_text(as_text({"options": notes, "files": files}))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A file of the released SGDEM code, and one whose keys say SGDepth or SGDEM."""
    folder = tmp_path_factory.mktemp("runs")
    write(folder / "released", network("released").state_dict() | unused_layers())
    write(folder / "plain", network("none").state_dict())
    return folder


def parsed(command: str, folder: Path, *words: str) -> Namespace:
    if command == "inference":
        return arguments.parse(command, ["--model-path", str(folder / "model.pth"), *words])
    return arguments.parse(command, ["--checkpoint-dir", str(folder.parent), "--model-load", folder.name, *words])


def opened(args: Namespace, device: torch.device) -> SGDepth:
    return find_network(args, "depth")(device)


def disparity(model: SGDepth) -> Tensor:
    image = torch.rand(1, 3, 64, 160, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return model.predict(image).depth.values


@pytest.mark.parametrize("command", ["inference", "eval_depth", "eval_segmentation", "eval_pose"])
def test_a_file_of_the_released_code_is_recognised(runs, command, caplog):
    caplog.set_level(logging.INFO)
    args = parsed(command, runs / "released")
    model = opened(args, CPU)
    assert torch.equal(disparity(model), disparity(network("released")))
    assert (args.method, args.model_attention, args.model_num_layers) == ("sgdem", "released", 18)
    assert (args.model_split_pos, args.model_depth_resolutions, args.model_num_classes) == (2, 2, 7)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "--model-attention released" in warnings[0].getMessage()
    notes = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert sum("8 tensors" in note for note in notes) == 1 and any("model_num_layers 18" in note for note in notes)


@pytest.mark.usefixtures("whole_here")
def test_the_golden_network_gives_its_numbers_through_the_command_path(tmp_path):
    meta, want = golden.load("sgdem_model_r50")
    folder = write(tmp_path, golden.state_dict(meta["keys"], meta["scale"]))
    image = torch.from_numpy(golden.uniform(401, 3, 3, 64, 96))[:1]
    for variant, words in (("released", ()), ("bottleneck", ("--model-attention", "bottleneck"))):
        with golden.unfilled():
            model = opened(parsed("inference", folder, *words), CPU)
        with torch.no_grad():
            found = model.depth_branch()(image).numpy()
        golden.assert_close_to_max(found, want[f"{variant}_disp0"], 1e-5)
    assert np.abs(want["released_disp0"] - want["bottleneck_disp0"]).max() > 1e-3


def test_attention_that_was_said_stays(runs, tmp_path, caplog):
    config = tmp_path / "a.toml"
    config.write_text('model-attention = "bottleneck"\n')
    for words, variant in ((("--model-attention", "none"), "none"), (("--config", str(config)), "bottleneck")):
        args = parsed("inference", runs / "released", *words)
        assert torch.equal(disparity(opened(args, CPU)), disparity(network(variant)))
        assert args.model_attention == variant
    assert not caplog.records
    with pytest.raises(UserError, match="holds no network of --method sgdepth; it looks like one of --method sgdem$"):
        opened(parsed("inference", runs / "released", "--method", "sgdepth"), CPU)


@pytest.mark.parametrize("command", ["inference", "eval_depth"])
def test_keys_of_both_methods_are_asked_about(runs, command):
    with pytest.raises(UserError, match="plain/model.pth: may be of sgdem or of sgdepth.*--method sgdem or --method"):
        opened(parsed(command, runs / "plain"), CPU)
    with pytest.raises(UserError, match="may be of sgdem or of sgdepth"):
        opened(parsed(command, runs / "plain", "--model-num-layers", "18"), CPU)


@pytest.mark.parametrize(
    ("words", "variant"),
    [
        ("--method sgdepth", "none"),
        ("--method sgdem", "bottleneck"),
        ("--model-attention none", "none"),
        ("--config presets/sgdepth.toml", "none"),
        ("--config presets/sgdem.toml --model-num-layers 18", "bottleneck"),
    ],
)
def test_an_answer_is_enough_and_the_keys_tell_the_shape(runs, words, variant, caplog):
    args = parsed("inference", runs / "plain", *words.split())
    assert torch.equal(disparity(opened(args, CPU)), disparity(network(variant)))
    assert (args.model_num_layers, args.model_split_pos) == (18, 2)
    assert getattr(args, "model_attention", "none") == variant
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("--model-num-layers 50", "--model-num-layers 18"),
        ("--model-split-pos 1", "--model-split-pos 2"),
        ("--model-aspp", "--no-model-aspp"),
        ("--model-attention bottleneck --model-attention-gain", "--no-model-attention-gain"),
    ],
)
@pytest.mark.parametrize("name", ["plain", "released"])
def test_what_was_said_and_is_not_so_is_an_error(runs, name, words, remedy):
    with pytest.raises(UserError, match=f"{name}/model.pth: .*; pass {remedy}$"):
        opened(parsed("inference", runs / name, "--method", "sgdem", *words.split()), CPU)


def test_a_gain_and_a_pyramid_are_taken_from_the_keys(tmp_path):
    torch.manual_seed(0)
    mine = SGDepth(**SMALL, attention={"variant": "bottleneck", "gain": True, "aspp": True}).eval()
    torch.nn.init.constant_(mine.common.attended.attention.gain, 0.5)
    args = parsed("inference", write(tmp_path, mine.state_dict()))
    assert_close(disparity(opened(args, CPU)), disparity(mine))
    assert args.model_attention_gain and args.model_aspp and args.model_attention == "bottleneck"


def test_a_gain_may_be_new_where_training_begins_from_plain_sgdepth(tmp_path, caplog):
    folder = write(tmp_path, network("none").state_dict())
    model = SGDepth(**SMALL, attention={"variant": "bottleneck", "gain": True})
    load_into(model, read_network(folder), "sgdem", strict=False)
    assert torch.equal(disparity(model.eval()), disparity(network("none"))) and "attention.gain" in caplog.text
    other = SGDepth(**{**SMALL, "layers": 50}, attention={"variant": "bottleneck", "gain": True})
    with pytest.raises(UserError, match="pass --model-num-layers 18$"):
        load_into(other, read_network(folder), "sgdem", strict=False)


def test_parts_that_are_missing_tell_nothing(tmp_path):
    state = {key: value for key, value in network("none").state_dict().items() if key.startswith("common.encoder")}
    args = parsed("inference", write(tmp_path, state), "--method", "sgdepth")
    with pytest.raises(UserError, match="it holds nothing of depth, pose, seg"):
        opened(args, CPU)
    assert (args.model_split_pos, args.model_depth_resolutions) == (1, 4)


def test_notes_of_ours_count_and_not_the_keys(tmp_path, caplog):
    options = {
        f"model_{name}": value
        for name, value in {
            "num_layers": 18,
            "num_layers_pose": 18,
            "split_pos": 2,
            "depth_resolutions": 2,
            "num_classes": 7,
        }.items()
    }
    old = write(tmp_path / "old", network("none").state_dict(), {"method": "sgdepth", **options})
    args = parsed("inference", old)
    assert torch.equal(disparity(opened(args, CPU)), disparity(network("none")))
    new = write(
        tmp_path / "new", network("none").state_dict(), {"method": "sgdem", "model_attention": "released", **options}
    )
    assert torch.equal(disparity(opened(parsed("eval_depth", new), CPU)), disparity(network("released")))
    assert "was trained with" not in caplog.text
    opened(parsed("eval_depth", old, "--method", "sgdem"), CPU)
    assert "--method sgdem: " in caplog.text and "was trained with --method sgdepth" in caplog.text


def test_a_checkpoint_of_ours_made_with_an_option_of_another_method_is_refused(tmp_path):
    """Attention has no weights: without the option it would load, and say something else."""
    noted = {"method": "sgdepth", "model_num_layers": 18, "model_attention": "bottleneck"}
    folder = write(tmp_path / "old", network("none").state_dict(), noted)
    for words in ([], ["--method", "sgdepth"]):
        with pytest.raises(
            UserError, match="made with --model-attention bottleneck, an option of --method sgdem; pass"
        ):
            parsed("inference", folder, *words)
    assert parsed("inference", folder, "--method", "sgdem").model_attention == "bottleneck"


def test_one_door_opens_teachers_of_others_and_networks_of_ours(runs, tmp_path):
    args = training(runs, "--model-num-layers", "18", "--model-attention", "released")
    renamed = tmp_path / "teacher.pth"
    renamed.symlink_to(runs / "released/model.pth")
    door = teacher_door(args, CPU)
    for name in ("released", "released/model.pth", str(renamed)):
        opened = door(name)
        assert torch.equal(disparity(opened), disparity(network("released")))
        assert not opened.training and not any(p.requires_grad for p in opened.parameters())
    assert isinstance(door(str(dpt_file.write(tmp_path / "mine.pt"))), Teacher)
    for name in ("nowhere", "dpt-hybird"):
        with pytest.raises(UserError, match=f"{name}: neither a weight file nor a known teacher"):
            door(name)


def training(runs: Path, *words: str) -> Namespace:
    return arguments.parse("train", ["--checkpoint-dir", str(runs), *words])


def test_training_from_a_file_of_the_released_code_gets_its_network(runs, tmp_path, caplog):
    args = training(runs, "--model-load", "released")
    settle_network(tmp_path, args)
    assert (args.model_attention, args.model_num_layers, args.model_split_pos) == ("released", 18, 2)
    assert "--model-attention released" in caplog.text
    args = training(runs, "--model-load", "released", "--model-attention", "bottleneck", "--model-num-layers", "34")
    settle_network(tmp_path, args)
    assert (args.model_attention, args.model_num_layers, args.model_split_pos) == ("bottleneck", 34, 2)


def test_training_from_a_plain_file_keeps_the_network_of_its_recipe(runs, tmp_path):
    args = training(runs, "--model-load", "plain")
    before = arguments.as_table(args)
    settle_network(tmp_path, args)
    assert arguments.as_table(args) == before
    with pytest.raises(UserError, match="holds no model.pth"):
        settle_network(tmp_path, training(runs, "--model-load", "nowhere"))


def test_another_network_is_what_its_keys_or_notes_say(runs, tmp_path, caplog):
    args = training(
        runs,
        "--model-num-layers",
        "34",
        "--model-attention",
        "bottleneck",
        "--model-attention-gain",
        "--model-depth-resolutions",
        "4",
    )
    before = arguments.as_table(args)
    for where in ("released", str(runs / "released/model.pth")):
        assert torch.equal(disparity(load_other(args, where, CPU)), disparity(network("released")))
    assert caplog.text.count("released SGDEM code") == 2
    renamed = tmp_path / "teacher.pth"
    renamed.symlink_to(runs / "plain/model.pth")
    caplog.clear()
    assert torch.equal(disparity(load_other(args, str(renamed), CPU)), disparity(network("bottleneck")))
    assert "taken for one of sgdem, as the network that trains" in caplog.text
    old = write(
        tmp_path / "old",
        network("none").state_dict(),
        {
            "method": "sgdepth",
            "model_num_layers": 18,
            "model_split_pos": 2,
            "model_depth_resolutions": 2,
            "model_num_classes": 7,
        },
    )
    assert torch.equal(disparity(load_other(args, str(old), CPU)), disparity(network("none")))
    assert arguments.as_table(args) == before
    with pytest.raises(UserError, match="holds no model.pth"):
        load_other(args, "nowhere", CPU)


def test_fine_tuning_the_released_network_goes_on_without_the_file(runs, street, tmp_path, run):
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    (loaded / "model.pth").symlink_to(runs / "released/model.pth")
    options = [
        *tiny_options(street, tmp_path),
        "--method",
        "sgdem",
        "--model-load",
        loaded,
        "--resume",
        "auto",
        "--train-batches-per-epoch",
        1,
        "--no-masking-enable",
        "--no-patch-distill",
    ]
    for epochs in (1, 2):
        done = run("train.py", *options, "--train-num-epochs", epochs, "--sd-consistency-weight", 0)
        assert done.returncode == 0, done.stderr
        (loaded / "model.pth").unlink(missing_ok=True)
    folder = tmp_path / "sgdem/sgdepth_base"
    assert [path.name for path in checkpoints(folder)] == ["epoch_1", "epoch_2"]
    noted = json.loads((folder / "checkpoints/epoch_2" / METADATA).read_text())["options"]
    assert (noted["model_attention"], noted["model_num_layers"], noted["method"]) == ("released", 18, "sgdem")
    assert json.loads((folder / "opt.json").read_text())["model_attention"] == "released"
    again = parsed("inference", folder / "checkpoints/epoch_2")
    assert opened(again, CPU).common.attended.levels == (1, 2, 3, 4)
