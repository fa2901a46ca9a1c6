"""Options: defaults, sources and their order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import arguments
import methods
from dataloader.catalog import LOADERS
from errors import UserError
from storage.notes import METADATA, as_text

PUBLISHED_DEFAULTS = {
    "sys_num_workers": 3,
    "model_num_layers": 18,
    "model_num_layers_pose": 18,
    "model_split_pos": 1,
    "model_depth_min": 0.1,
    "model_depth_max": 100.0,
    "model_depth_resolutions": 4,
    "experiment_class": "sgdepth_eccv_test",
    "model_name": "sgdepth_base",
    "depth_validation_resize_height": 192,
    "depth_validation_resize_width": 640,
    "depth_validation_loaders": ("kitti_kitti_validation",),
    "depth_validation_batch_size": 1,
    "segmentation_validation_resize_height": 512,
    "segmentation_validation_resize_width": 1024,
    "segmentation_validation_loaders": ("cityscapes_validation",),
    "train_batches_per_epoch": 9645,
    "train_num_epochs": 20,
    "train_checkpoint_frequency": 5,
    "train_tb_frequency": 500,
    "train_print_frequency": 2500,
    "train_learning_rate": 1e-4,
    "train_scheduler_step_size": 15,
    "train_weight_decay": 0.0,
    "train_weights_init": "pretrained",
    "train_depth_grad_scale": 0.9,
    "train_segmentation_grad_scale": 0.1,
    "depth_training_loaders": ("kitti_kitti_train",),
    "depth_training_batch_size": 6,
    "depth_resize_height": 192,
    "depth_resize_width": 640,
    "depth_crop_height": 192,
    "depth_disparity_smoothness": 1e-3,
    "depth_min_sampling_res": 10000,
    "segmentation_training_loaders": ("cityscapes_train",),
    "segmentation_training_batch_size": 6,
    "segmentation_resize_height": 512,
    "segmentation_resize_width": 1024,
    "segmentation_crop_height": 192,
    "segmentation_crop_width": 640,
    "masking_from_epoch": 15,
    "moving_mask_percent": 0.1,
}
SGDEM_DEFAULTS = {
    "method": "sgdem",
    "experiment_class": "sgdem",
    "model_num_layers": 50,
    "model_num_layers_pose": 18,
    "model_attention": "bottleneck",
    "model_attention_strips": 4,
    "model_attention_gain": False,
    "model_aspp": False,
    "depth_training_loaders": ("kitti_zhou_train",),
    "train_batches_per_epoch": 7293,
    "train_num_epochs": 20,
    "train_checkpoint_frequency": 1,
    "depth_reprojection_weight": 2.0,
    "sd_consistency_weight": 10.0,
    "sd_consistency_variant": "decided",
    "sd_consistency_from_epoch": 1,
    "patch_distill": True,
    "patch_loss_weight": 16.0,
    "patch_from_epoch": 5,
    "patch_until_epoch": 15,
    "patch_interval": 1,
    "patch_self_teacher": "snapshot",
    "patch_teacher": "dpt-hybrid",
    "patch_teacher_cache": "",
    "patch_gate": "photometric",
    "patch_size": 0,
    "patch_max": 0,
    "patch_enlarge": False,
    "patch_blend": "window",
    "patch_fusion_weight": 0.6,
    "masking_enable": True,
    "masking_from_epoch": 15,
    "masking_linear_increase": True,
    "moving_mask_percent": 0.15,
}
BOTH = [(command, method) for command in arguments.COMMANDS for method in arguments.methods_of(command)]
SWITCHES = (
    "sys_cpu",
    "sys_best_effort_determinism",
    "model_disable_lr_loading",
    "depth_avg_reprojection",
    "depth_disable_automasking",
    "masking_enable",
    "masking_linear_increase",
)


def test_defaults_of_sgdepth_are_the_published_ones():
    args = vars(arguments.parse("train", ["--method", "sgdepth"]))
    assert {name: args[name] for name in PUBLISHED_DEFAULTS} == PUBLISHED_DEFAULTS
    assert not any(args[name] for name in SWITCHES)
    assert args["depth_reprojection_weight"] == 1.0
    assert not [name for name in args if name.startswith(("patch_", "sd_consistency_", "model_a"))]


def test_the_default_is_the_recipe_of_sgdem():
    args = vars(arguments.parse("train", []))
    assert {name: args[name] for name in SGDEM_DEFAULTS} == SGDEM_DEFAULTS
    assert args["said"] == []
    same = [name for name in PUBLISHED_DEFAULTS if name not in SGDEM_DEFAULTS]
    assert {name: args[name] for name in same} == {name: PUBLISHED_DEFAULTS[name] for name in same}


@pytest.mark.parametrize("command", ["eval_depth", "eval_segmentation", "eval_pose", "inference"])
def test_the_network_of_sgdem_is_the_default_of_every_command(command):
    args = arguments.parse(command, [])
    assert (args.method, args.model_num_layers, args.model_attention) == ("sgdem", 50, "bottleneck")
    args = arguments.parse(command, ["--method", "sgdepth"])
    assert (args.method, args.model_num_layers, "model_attention" in args) == ("sgdepth", 18, False)
    if hasattr(args, "patch_refine"):
        assert not args.patch_refine and args.patch_teacher == "none"


def test_what_is_said_wins_over_the_recipe(tmp_path):
    preset = write(tmp_path / "a.toml", "patch-distill = false\nmodel-num-layers = 34\nsd-consistency-weight = 3\n")
    args = arguments.parse(
        "train", ["--config", preset, "--model-num-layers", "18", "--no-masking-enable", "--moving-mask-percent", "0.1"]
    )
    assert (args.patch_distill, args.sd_consistency_weight, args.model_num_layers) == (False, 3.0, 18)
    assert (args.masking_enable, args.moving_mask_percent, args.masking_linear_increase) == (False, 0.1, True)
    assert args.said == [
        "masking_enable",
        "model_num_layers",
        "moving_mask_percent",
        "patch_distill",
        "sd_consistency_weight",
    ]
    config = write(tmp_path / "b.toml", 'method = "sgdepth"\n')
    assert arguments.parse("train", ["--config", config]).train_checkpoint_frequency == 5
    assert arguments.parse("train", ["--config", config, "--method", "sgdem"]).train_checkpoint_frequency == 1


def test_the_teacher_of_a_training_is_not_that_of_an_evaluation(tmp_path):
    training = write(tmp_path / "a.toml", 'patch-teacher = "dpt-large"\n')
    assert arguments.parse("train", ["--config", training]).patch_teacher == "dpt-large"
    assert arguments.parse("inference", ["--config", training]).patch_teacher == "none"
    refining = write(tmp_path / "b.toml", 'patch-refine = true\npatch-teacher = "dpt-large"\n')
    assert arguments.parse("inference", ["--config", refining]).patch_teacher == "dpt-large"


def test_a_gain_needs_an_attention():
    args = arguments.parse("train", ["--model-attention-gain", "--model-attention", "none"])
    with pytest.raises(UserError, match="--model-attention-gain: there is nothing to weigh"):
        methods.building("sgdem").check(args)


def test_published_training_commands_parse():
    args = arguments.parse(
        "train",
        [
            "--model-name",
            "zhou_full",
            "--depth-training-loaders",
            "kitti_zhou_train",
            "--train-batches-per-epoch",
            "7293",
            "--masking-enable",
            "--masking-from-epoch",
            "15",
            "--masking-linear-increase",
        ],
    )
    assert args.masking_enable and args.train_batches_per_epoch == 7293
    args = arguments.parse(
        "train",
        [
            "--depth-training-batch-size",
            "12",
            "--segmentation-training-loaders",
            "",
            "--train-depth-grad-scale",
            "1.0",
            "--train-segmentation-grad-scale",
            "0.0",
        ],
    )
    assert args.segmentation_training_loaders == () and args.train_depth_grad_scale == 1.0


# Which command takes which published option: T(rain), evaluation of D(epth), S(egmentation), P(ose), I(nference).
PUBLISHED_FLAGS = {
    "TDSPI": "--sys-cpu --sys-num-workers --sys-best-effort-determinism --model-num-layers --model-num-layers-pose "
    "--model-split-pos --model-depth-min --model-depth-max --model-depth-resolutions --experiment-class "
    "--model-name --model-load --model-disable-lr-loading",
    "TD": "--depth-validation-resize-height --depth-validation-resize-width --depth-validation-crop-height "
    "--depth-validation-crop-width --depth-validation-loaders --depth-validation-batch-size "
    "--depth-validation-fixed-scaling --depth-ratio-on-validation",
    "P": "--pose-validation-resize-height --pose-validation-resize-width --pose-validation-loaders "
    "--pose-validation-batch-size --pose-validation-fixed-scaling",
    "TS": "--segmentation-validation-resize-height --segmentation-validation-resize-width "
    "--segmentation-validation-loaders --segmentation-validation-batch-size",
    "DSP": "--eval-num-images",
    "T": "--train-batches-per-epoch --train-num-epochs --train-checkpoint-frequency --train-tb-frequency "
    "--train-print-frequency --train-learning-rate --train-scheduler-step-size --train-weight-decay "
    "--train-weights-init --train-depth-grad-scale --train-segmentation-grad-scale --depth-training-loaders "
    "--depth-training-batch-size --depth-resize-height --depth-resize-width --depth-crop-height "
    "--depth-crop-width --depth-disparity-smoothness --depth-min-sampling-res --depth-avg-reprojection "
    "--depth-disable-automasking --segmentation-training-loaders --segmentation-training-batch-size "
    "--segmentation-resize-height --segmentation-resize-width --segmentation-crop-height "
    "--segmentation-crop-width --masking-enable "
    "--masking-from-epoch --moving-mask-percent --masking-linear-increase",
    "I": "--image-path --output-path --model-path --inference-resize-height --inference-resize-width --output-format",
}
COMMAND_OF = {"T": "train", "D": "eval_depth", "S": "eval_segmentation", "P": "eval_pose", "I": "inference"}


@pytest.mark.parametrize("command", ["train", "eval_depth", "eval_segmentation", "eval_pose"])
@pytest.mark.parametrize("words", [["--model-path", "-x"], ["--model-path=-x"], ["--model-load", "-x"]])
def test_a_network_is_named_as_in_inference(command, words):
    assert arguments.parse(command, words).model_load == "-x"


@pytest.mark.parametrize("letters", PUBLISHED_FLAGS)
def test_every_published_option_is_known_to_its_commands(letters):
    for letter, command in COMMAND_OF.items():
        flags = {option.flag for option in arguments.options_of(command, "sgdepth")}
        for flag in PUBLISHED_FLAGS[letters].split():
            assert (flag in flags) == (letter in letters), f"{flag} of {command}"


@pytest.mark.parametrize(("command", "method"), BOTH)
def test_every_command_names_each_option_once(command, method):
    options = [option for _, options in arguments.groups_of(command, method) for option in options]
    assert len(options) == len({option.name for option in options})
    assert all(option.help and option.default is not None for option in options)


@pytest.mark.parametrize("command", arguments.COMMANDS)
def test_an_option_is_a_switch_with_every_method_or_with_none(command):
    read = {option.name: isinstance(option.default, bool) for option in arguments.options_of(command)}
    for method in arguments.methods_of(command):
        for option in arguments.options_of(command, method):
            assert isinstance(option.default, bool) == read[option.name]


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_later_sources_win(tmp_path):
    first = write(tmp_path / "a.toml", "train-learning-rate = 1e-3\ntrain_num_epochs = 7\nsys-cpu = true\n")
    options = {"train_num_epochs": 8, "depth_training_loaders": ["kitti_zhou_train"]}
    second = write(tmp_path / "b.json", json.dumps(options))
    args = arguments.parse("train", ["--config", first, "--config", second, "--train-learning-rate", "0.01"])
    assert (args.train_learning_rate, args.train_num_epochs, args.sys_cpu) == (0.01, 8, True)
    assert args.depth_training_loaders == ("kitti_zhou_train",)
    assert not arguments.parse("train", ["--config", first, "--no-sys-cpu"]).sys_cpu


def test_an_earlier_runs_options_can_be_read_back(tmp_path):
    args = arguments.parse(
        "train", ["--masking-enable", "--data-intrinsics", "1,2,3,4", "--train-scheduler-gamma", "released"]
    )
    table = arguments.as_table(args)
    path = write(tmp_path / "opt.json", json.dumps({**table, "eval_avg_with_flipped": False}))
    again = arguments.parse("train", ["--config", path])
    assert arguments.as_table(again) == table and set(again.said) == set(table) - set(arguments.ONCE)


@pytest.mark.parametrize("name", ["opt.json", "opt.JSON"])
def test_how_a_run_was_started_is_not_repeated(tmp_path, name):
    path = write(tmp_path / name, json.dumps({"overwrite": True, "resume": "auto", "train_num_epochs": 3}))
    args = arguments.parse("train", ["--config", path])
    assert (args.overwrite, args.resume, args.train_num_epochs) == (False, "never", 3)


def checkpoint(folder: Path, **options: object) -> Path:
    folder.mkdir(parents=True)
    write(folder / METADATA, as_text({"options": {"method": "sgdepth", **options}, "files": {}}))
    return folder


def test_evaluation_takes_the_network_from_the_checkpoint(tmp_path):
    folder = checkpoint(tmp_path / "run/epoch_1", model_num_layers=50, model_depth_min=0.03, train_num_epochs=3)
    preset = write(tmp_path / "a.toml", "model-num-layers = 34\ndepth-validation-batch-size = 2\n")
    common = ["--checkpoint-dir", str(tmp_path), "--model-load", "run/epoch_1", "--config", preset]
    args = arguments.parse("eval_depth", common)
    assert (args.model_num_layers, args.model_depth_min, args.depth_validation_batch_size) == (50, 0.03, 2)
    assert arguments.parse("eval_depth", [*common, "--model-num-layers", "18"]).model_num_layers == 18
    assert arguments.parse("train", common).model_num_layers == 34
    path = str(folder / "model.pth")
    assert arguments.parse("inference", ["--model-path", path]).model_num_layers == 50
    assert arguments.parse("inference", ["--model-path", str(folder)]).model_num_layers == 50


def test_a_checkpoint_of_a_method_that_a_command_does_not_take_is_told_as_that(tmp_path):
    folder = str(checkpoint(tmp_path / "run/epoch_1", method="monodepth2"))
    with pytest.raises(UserError) as told:
        arguments.parse("eval_segmentation", ["--model-load", folder])
    takes = ", ".join(arguments.methods_of("eval_segmentation"))
    assert str(told.value).startswith(f"{folder}/{METADATA}: method: 'monodepth2' is not one of {takes}, ")
    assert str(told.value).endswith("the methods whose networks eval_segmentation.py takes; give a network of theirs")


def test_a_checkpoint_that_is_older_than_an_option_has_its_default(tmp_path):
    folder = checkpoint(tmp_path / "epoch_1", method="sgdem", model_num_layers=34)
    config = write(tmp_path / "a.toml", 'model-attention = "released"\nmodel-aspp = true\nmodel-split-pos = 2\n')
    args = arguments.parse("inference", ["--model-path", str(folder), "--config", config])
    assert (args.method, args.model_num_layers, args.model_split_pos) == ("sgdem", 34, 1)
    assert (args.model_attention, args.model_aspp) == ("none", False)


def test_the_network_of_another_checkpoint_is_its_own(tmp_path):
    checkpoint(tmp_path / "same", method="sgdem", model_num_layers=18)
    checkpoint(tmp_path / "other", model_num_layers=18)
    training = arguments.parse("train", ["--checkpoint-dir", str(tmp_path), "--model-num-layers", "34"])
    same = arguments.with_checkpoint(training, "same")
    assert (same.method, same.model_num_layers, same.model_attention) == ("sgdem", 18, "none")
    assert (same.model_load, same.sys_seed) == ("same", training.sys_seed)
    other = arguments.with_checkpoint(training, "other")
    assert (other.method, other.model_num_layers, "model_attention" in other) == ("sgdepth", 18, False)
    assert (training.method, training.model_num_layers, training.model_attention) == ("sgdem", 34, "bottleneck")
    nowhere = arguments.with_checkpoint(training, "nowhere")
    assert (nowhere.model_num_layers, nowhere.model_attention, nowhere.said) == (34, "bottleneck", ["method"])


def test_the_attention_of_a_checkpoint_is_stored_with_it(tmp_path):
    folder = checkpoint(
        tmp_path / "epoch_1", method="sgdem", model_num_layers=34, model_attention="released", model_attention_gain=True
    )
    args = arguments.parse("inference", ["--model-path", str(folder)])
    assert (args.method, args.model_num_layers, args.model_attention) == ("sgdem", 34, "released")
    assert args.model_attention_gain and not args.model_aspp
    args = arguments.parse("inference", ["--model-path", str(folder), "--model-attention", "none"])
    assert args.model_attention == "none"


def test_damaged_metadata_is_one_sentence(tmp_path):
    folder = checkpoint(tmp_path / "epoch_1", model_num_layers="many")
    with pytest.raises(UserError, match="meta.json: model_num_layers"):
        arguments.parse("inference", ["--model-path", str(folder)])
    write(folder / METADATA, "{")
    with pytest.raises(UserError, match="meta.json: damaged"):
        arguments.parse("inference", ["--model-path", str(folder)])


def test_folders_come_from_the_environment_unless_given(monkeypatch):
    monkeypatch.setenv("IFN_DIR_DATASET", "/somewhere")
    monkeypatch.setenv("IFN_DIR_CHECKPOINT", "/elsewhere")
    args = arguments.parse("eval_pose", ["--dataset-dir", "mine"])
    assert (args.dataset_dir, args.checkpoint_dir) == ("mine", "/elsewhere")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--depth-resize-height", "200"],
            "--depth-resize-height: 200 is not a multiple of 32; nearest are 192 and 224",
        ),
        (["--depth-resize-height", "32"], "out of range"),
        (["--model-num-layers", "20"], "20 is not one of 18, 34, 50, 101, 152"),
        (["--train-learning-rate", "fast"], "'fast' is not a number"),
        (["--train-learning-rate", "nan"], "out of range"),
        (["--data-depth-unit", "1/0"], "'1/0' is not a number of metres or a fraction such as 1/256"),
        (["--data-depth-unit", "mm"], "'mm' is not a number of metres"),
        (["--data-depth-unit", "1/nan"], "out of range"),
        (["--depth-cap", "-1"], "out of range"),
        (["--train-learning-rate", "inf"], "out of range"),
        (["--train-num-epochs", "1.5"], "'1.5' is not a whole number"),
        (["--train-num-epoch", "2"], r"--train-num-epoch: unknown option of train.py \(closest: --train-num-epochs"),
        (["--save", "npz"], "^--save: an option of inference.py, not of train.py; leave it out"),
        (["--no-post-process=1"], "^--post-process/--no-post-process: takes no value"),
        (["--method", "sgdeph"], r"closest: sgdepth"),
        (["--train-num-epochs"], "^--train-num-epochs: expected one argument; write --train-num-epochs VALUE$"),
        (["--resume"], "^--resume: expected one argument; write --resume never or auto$"),
        (["--model-depth-min", "5", "--model-depth-max", "1"], "must be below"),
        (["--data-intrinsics", "1,2,3"], "3 numbers"),
        (["--data-intrinsics", "a,b,c,d"], "numbers separated by commas"),
        (["--config", "missing.toml"], "missing.toml: cannot be read"),
        (["--model-name", ""], "not a folder name"),
        (["--model-name", "../../escape"], "not a folder name"),
        (["--experiment-class", "/absolute"], "not a folder name"),
        (["stray"], "'stray': belongs to no option of train.py; separate several values by commas"),
        (["--overwrite", "--resume", "auto"], "one discards the run, the other continues it"),
        (["--data-intrinsics", "-1,2,3"], "3 numbers"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(argv, message):
    with pytest.raises(UserError, match=message) as caught:
        arguments.parse("train", argv)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train-learning-rate = 'fast'", "a.toml: train-learning-rate: 'fast' is not a number"),
        ("sys-cpu = 1", "neither true nor false"),
        ("train-learnin-rate = 1", r"unknown option 'train-learnin-rate' \(closest: train_learning_rate"),
        ("not toml", "not a valid preset"),
    ],
)
def test_presets_are_checked_like_the_command_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        arguments.parse("train", ["--config", write(tmp_path / "a.toml", text)])


def test_options_of_other_commands_in_a_preset_are_passed_over(tmp_path):
    preset = write(tmp_path / "a.toml", "train-learning-rate = 1e-3\nmodel-depth-min = 0.03\n")
    args = arguments.parse("eval_depth", ["--config", preset])
    assert args.model_depth_min == 0.03 and not hasattr(args, "train_learning_rate")


def test_negative_numbers_of_pictures_are_refused():
    with pytest.raises(UserError, match="--eval-num-images: -1 is out of range"):
        arguments.parse("eval_depth", ["--eval-num-images", "-1"])


def test_a_unit_may_be_a_fraction():
    for text, value in (("1/256", 1 / 256), ("0.001", 0.001), ("1e-3", 0.001), ("0", 0.0)):
        assert arguments.parse("eval_depth", ["--data-depth-unit", text]).data_depth_unit == value


def test_the_comparison_across_data_sets_names_its_five_sets():
    args = arguments.parse("eval_depth", ["--config", "presets/eval_cross.toml"])
    names = ("cityscapes_test", "ddad_validation", "diml_outdoor_test", "diml_indoor_test", "nyu_v2_test")
    assert args.depth_validation_loaders == names and not args.depth_protocol
    assert all(("depth", name) in LOADERS for name in names)
