"""Options belong to methods: which a command takes, what it says of the others, when the method is known."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import arguments
from dataloader.catalog import LOADERS
from errors import UserError
from methods import METHODS
from presets.foreign import answer, foreign_names, meanings
from presets.parser import EXAMPLES
from storage.notes import METADATA, as_text

BOTH = [(command, method) for command in arguments.COMMANDS for method in arguments.methods_of(command)]


def help_of(command: str, words: list[str], capsys: pytest.CaptureFixture, flag: str = "--help-all") -> str:
    with pytest.raises(SystemExit) as stop:
        arguments.parse(command, [*words, flag])
    assert not stop.value.code
    return capsys.readouterr().out


def checkpoint(folder: Path, **options: object) -> str:
    folder.mkdir(parents=True)
    (folder / METADATA).write_text(as_text({"options": options, "files": {}}))
    return str(folder)


@pytest.mark.parametrize(("command", "method"), BOTH)
def test_help_shows_the_options_of_the_method_only(command, method, capsys):
    text = help_of(command, ["--method", method], capsys)
    flags = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
    assert flags - {"--help-all"} == {option.flag for option in arguments.options_of(command, method)} | {"--config"}


@pytest.mark.parametrize("command", arguments.COMMANDS)
def test_a_first_look_shows_ten_options_and_lines_that_can_be_typed(command, capsys):
    text = help_of(command, [], capsys, "--help")
    flags = {flag for flag in re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)} - {"--help-all", "--config"}
    assert flags <= {option.flag for option in arguments.options_of(command)} and 8 <= len(flags) <= 10
    assert "--help-all shows all" in text
    lines = re.findall(rf"^  python {command}.py (.+)$", text, re.MULTILINE)
    assert lines == [*EXAMPLES[command]]
    for line in lines:
        args = arguments.parse(command, shlex.split(line))
        for option, names in vars(args).items():
            assert not option.endswith("_loaders") or all((option.split("_")[0], name) in LOADERS for name in names)


def test_help_shows_the_defaults_of_the_recipe(capsys):
    def default(flag: str, *words: str) -> str:
        return re.search(rf" {flag} .*?\(default: (.*?)\)", " ".join(help_of("train", [*words], capsys).split()))[1]

    assert default("--model-num-layers") == "50" and default("--depth-training-loaders") == "kitti_zhou_train"
    assert default("--model-num-layers", "--method", "sgdepth") == "18"
    assert default("--depth-training-loaders", "--method", "sgdepth") == "kitti_kitti_train"
    assert default("--masking-enable,") == "on" and default("--masking-enable,", "--method", "sgdepth") == "off"


def test_help_follows_a_config_and_a_checkpoint(tmp_path, capsys):
    config = tmp_path / "a.toml"
    config.write_text('method = "sgdepth"\n')
    assert "--patch-distill" in help_of("train", [], capsys)
    assert "--patch-distill" not in help_of("train", ["--config", str(config)], capsys)
    folder = checkpoint(tmp_path / "run", method="sgdepth")
    assert "--model-attention" not in help_of("inference", ["--model-path", folder], capsys)


@pytest.mark.parametrize(("command", "method"), BOTH)
def test_an_option_of_another_method_is_told_whose_it_is(command, method):
    own = {option.flag for option in arguments.options_of(command, method)}
    for option in arguments.options_of(command):
        if option.flag in own:
            continue
        words = [option.flag] if isinstance(option.default, bool) else [option.flag, str(option.default)]
        with pytest.raises(UserError) as error:
            arguments.parse(command, ["--method", method, *words])
        said = re.fullmatch(
            rf"{option.flag}: an option of --method ([a-z0-9_, ]+), and this is --method {method}; "
            r"(?:leave it out or pass --method ([a-z0-9_]+)|.*(--depth-crop-.*))",
            str(error.value),
        )
        owners = said[1].split(", ")
        cropped = method in ("spatial_kd", "lapdepth") and option.flag.startswith("--depth-resize-")
        assert (said[2], said[3]) == ((None, option.flag.replace("resize", "crop")) if cropped else (owners[0], None))
        for name in METHODS:
            has = command in METHODS[name].options and option in arguments.options_of(command, name)
            assert has == (name in owners)


def test_a_switch_that_is_turned_off_is_named_as_it_was_given(tmp_path):
    with pytest.raises(UserError, match="^--no-patch-distill: an option of --method sgdem, and this"):
        arguments.parse("train", ["--method", "sgdepth", "--no-patch-distill"])
    folder = checkpoint(tmp_path / "run", method="sgdepth")
    with pytest.raises(UserError, match="^--model-aspp: an option of --method sgdem, and this is --method sgdepth"):
        arguments.parse("inference", ["--model-path", folder, "--model-aspp"])


def test_a_config_may_hold_options_of_other_methods(tmp_path):
    config = tmp_path / "a.toml"
    config.write_text("patch-distill = true\nmodel-num-layers = 34\n")
    args = arguments.parse("train", ["--method", "sgdepth", "--config", str(config)])
    assert args.model_num_layers == 34 and "patch_distill" not in args and args.said == ["method", "model_num_layers"]
    run = tmp_path / "opt.json"
    run.write_text(json.dumps(arguments.as_table(arguments.parse("train", []))))
    assert arguments.parse("train", ["--config", str(run), "--method", "sgdepth"]).method == "sgdepth"


def test_the_method_is_the_one_named_first(tmp_path):
    folder = checkpoint(tmp_path / "run", method="sgdepth")
    config = tmp_path / "a.toml"
    config.write_text('method = "sgdem"\n')
    words = ["--model-path", folder, "--config", str(config)]
    assert arguments.parse("inference", words).method == "sgdepth"
    assert arguments.parse("inference", [*words, "--method", "sgdem"]).method == "sgdem"
    assert arguments.parse("inference", ["--config", "presets/sgdepth.toml"]).method == "sgdepth"
    assert arguments.parse("inference", ["--config", "presets/sgdepth.toml", *words[2:]]).method == "sgdem"
    config.write_text(f'model-path = "{folder}"\n')
    assert arguments.parse("inference", ["--config", str(config)]).method == "sgdepth"


def test_a_method_that_the_keys_of_a_file_tell_is_taken_later():
    words = ["--model-path", "model.pth", "--model-attention", "released", "--inference-resize-height", "96"]
    args = arguments.parse("inference", words)
    assert (args.method, args.model_attention) == ("sgdem", "released")
    with pytest.raises(UserError, match="--model-attention: an option of --method sgdem, and this is --method sgdepth"):
        arguments.reparsed(args, "sgdepth")
    with pytest.raises(UserError, match="--method: 'dpt' is not one of"):
        arguments.reparsed(arguments.parse("eval_pose", []), "dpt")
    args = arguments.reparsed(arguments.parse("inference", words[:2] + words[4:]), "sgdepth")
    assert (args.method, args.model_num_layers, args.inference_resize_height) == ("sgdepth", 18, 96)
    assert args.said == ["inference_resize_height", "model_path"] and "model_attention" not in args
    assert not {"said", "config", "command", "argv"} & {*arguments.as_table(args)}


@pytest.mark.parametrize(
    ("command", "prefix"),
    [("eval_depth", "depth_validation"), ("eval_pose", "pose_validation"), ("inference", "inference")],
)
def test_the_input_size_is_the_one_of_the_training(tmp_path, command, prefix):
    def size(*words: str) -> tuple[int, int]:
        args = vars(arguments.parse(command, [place, folder, *words]))
        assert f"{prefix}_resize_width" not in args["said"]
        return args[f"{prefix}_resize_height"], args[f"{prefix}_resize_width"]

    place = "--model-path" if command == "inference" else "--model-load"
    folder = checkpoint(tmp_path / "run", method="sgdepth", depth_resize_height=320, depth_resize_width=1024)
    assert size() == (320, 1024)
    config = tmp_path / "a.toml"
    config.write_text(f"{prefix}_resize_height = 256\n")
    assert size("--config", str(config)) == (256, 1024)
    flag = f"--{prefix}_resize_height".replace("_", "-")
    assert size("--config", str(config), flag, "96") == (96, 1024)
    folder = checkpoint(tmp_path / "old", method="sgdepth")
    assert size() == (192, 640)
    folder = checkpoint(tmp_path / "bad", method="sgdepth", depth_resize_height="tall")
    with pytest.raises(UserError, match="meta.json: depth_resize_height: 'tall' is not a whole number"):
        size()


def test_what_follows_a_training_option_names_one_of_its_kind():
    for command, method in BOTH:
        training = {option.name: option for option in arguments.options_of("train", "sgdepth")}
        for option in arguments.options_of(command, method):
            if option.follows:
                assert type(training[option.follows].default) is type(option.default)
    assert not [option for option in arguments.options_of("eval_segmentation") if option.follows]


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        ("train", "--lr 1e-4", "--lr: unknown here; the learning rate is --train-learning-rate"),
        ("train", "--learning_rate=1e-4", "--learning_rate: unknown here; the learning rate is --train-learning-rate"),
        ("train", "--batch-size 12", "--batch-size: unknown here; the batch size is --depth-training-batch-size"),
        (
            "eval_depth",
            "--batch_size 12",
            "--batch_size: unknown here; the batch size is --depth-validation-batch-size",
        ),
        ("train", "-b 12", "-b: unknown here; the batch size is --depth-training-batch-size"),
        ("train", "--height 192", "--height: unknown here; the input height is --depth-resize-height"),
        ("eval_depth", "--height 192", "--height: unknown here; the input height is --depth-validation-resize-height"),
        ("inference", "--width 640", "--width: unknown here; the input width is --inference-resize-width"),
        ("train", "--num_epochs 20", "--num_epochs: unknown here; the number of epochs is --train-num-epochs"),
        ("train", "--data_path x", "--data_path: unknown here; the folder of all data sets is --dataset-dir"),
        ("train", "--load_weights_folder x", "--load_weights_folder: unknown here; the checkpoint is --model-load"),
        ("inference", "--load_weights_folder x", "--load_weights_folder: unknown here; the checkpoint is --model-path"),
        ("train", "--no_cuda", "--no_cuda: unknown here; the CPU is chosen by --sys-cpu"),
        ("train", "--model_name x", "--model_name: unknown here; write --model-name"),
        ("train", "--train_learning_rate 1", "--train_learning_rate: unknown here; write --train-learning-rate"),
        ("train", "--no_sys_cpu", "--no_sys_cpu: unknown here; write --no-sys-cpu"),
        ("eval_depth", "--split eigen", "--split: unknown here; the data sets are --depth-validation-loaders"),
        ("eval_depth", "--method dpt --num_layers 18", "--num_layers: unknown option of eval_depth.py"),
        ("eval_depth", "--lr 1", "--lr: unknown option of eval_depth.py"),
        ("train", "--eta_min 1e-6", "--eta_min: unknown here; the learning rate at which cosine and sqrt end is"),
        ("train", "--no_ssim", "--no_ssim: unknown here; structural similarity is left out by --no-depth-ssim"),
        ("train", "--split odom", "--split: unknown here; the data sets are --depth-training-loaders (eigen_zhou is"),
        ("train", "--clip_grad 1", "--clip_grad: unknown here; gradients are not clipped, as in the recipes; leave"),
        (
            "train",
            "--do_kb_crop",
            "--do_kb_crop: unknown here; that window is cut out by the loader kitti_annotated_tr",
        ),
        ("train", "--trainfile_nyu x", "--trainfile_nyu: unknown here; lists lie in the data set folder, and what is"),
        ("train", "--method lapdepth --height 352", "--height: unknown here; the height of the crop is --depth-crop-h"),
        ("train", "--height 192", "--height: unknown here; the input height is --depth-resize-height"),
        ("eval_depth", "--cap 50", "--cap: unknown here; how far depth counts is --depth-cap"),
        ("eval_depth", "--kitti_path x", "--kitti_path: unknown here; the folder of all data sets is --dataset-dir"),
        ("eval_depth", "--eval_stereo", "--eval_stereo: unknown here; published stereo networks are judged with"),
        ("eval_depth", "--save_pred_disps", "--save_pred_disps: unknown here; inference.py keeps disparities"),
        (
            "train",
            "--resume runs/x.ckpt",
            "--resume: 'runs/x.ckpt' is not one of never, auto; a checkpoint to begin with",
        ),
    ],
)
def test_flags_of_other_repositories_are_answered(command, words, sentence):
    with pytest.raises(UserError) as error:
        arguments.parse(command, words.split())
    assert str(error.value).startswith(sentence) and "\n" not in str(error.value)


def flags_of(command: str, method: str) -> set[str]:
    options = arguments.options_of(command, method)
    switches = (option for option in options if isinstance(option.default, bool))
    return {option.flag for option in options} | {f"--no-{option.flag[2:]}" for option in switches}


def test_every_answer_names_flags_that_some_command_has_and_none_hides_one_of_ours():
    known = [flags_of(*both) for both in BOTH]
    for name in foreign_names():
        assert any(answer(f"--{name}", flags) for flags in known), name
        assert not all(f"--{name.replace('_', '-')}" in flags for flags in known), (
            name
        )  # where it is ours, it is parsed


def test_no_flag_of_other_repositories_has_two_meanings():
    names = [(repository, flag) for each in meanings() for repository, flags in each.names.items() for flag in flags]
    assert len(names) == len(set(names))
    assert all(foreign_names()[flag] is each for each in meanings() for flags in each.names.values() for flag in flags)


# All options of the two repositories, but those that are called the same here.
MONODEPTH2 = """data_path log_dir split num_layers dataset png height width disparity_smoothness scales min_depth
max_depth use_stereo frame_ids batch_size learning_rate num_epochs scheduler_step_size v1_multiscale avg_reprojection
disable_automasking predictive_mask no_ssim weights_init pose_model_input pose_model_type no_cuda num_workers
load_weights_folder models_to_load log_frequency save_frequency eval_stereo eval_mono disable_median_scaling
pred_depth_scale_factor ext_disp_to_eval eval_split save_pred_disps no_eval eval_eigen_to_benchmark eval_out_dir"""
BDEDEPTH = """data_path data_path_pre log_dir exp_name split backbone num_layers dataset jpg height width
disparity_smoothness num_scales min_depth max_depth use_stereo frame_ids use_local_crop use_patch_reshuffle optimizer
lr_sche_type warm_up eta_min batch_size learning_rate decay_rate decay_step weight_decay beta1 beta2 momentum clip_grad
num_epochs seed v1_multiscale avg_reprojection disable_automasking predictive_mask no_ssim weights_init
pose_model_input num_workers pretrained_path log_frequency save_frequency eval_split models_to_load no_cuda
ext_disp_to_eval save_pred_disps no_eval kitti_path make3d_path nyuv2_path cityscapes_path local_rank"""


@pytest.mark.parametrize(("repository", "flags"), [("monodepth2", MONODEPTH2), ("bdedepth", BDEDEPTH)])
def test_every_flag_of_the_repositories_that_methods_come_from_is_in_the_table(repository, flags):
    known = {flag for each in meanings() for flag in each.names[repository]}
    assert {*flags.split()} <= known


def test_values_of_other_repositories_are_loaders_of_ours():
    loaders = {name for _, name in LOADERS}
    for flag in ("split", "dataset", "eval_split", "trainfile_kitti", "testfile_nyu"):
        assert {*foreign_names()[flag].values.values()} <= loaders, flag
