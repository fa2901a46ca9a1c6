"""Every option once: name, default, meaning; presets; one parser per command. Imports no torch.

Later wins: default of the table, preset of the method, ``--config`` files in the order given, what is stored
with the checkpoint (evaluation and inference only), the command line.
"""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from errors import UserError, closest
from models import METHODS

PRESETS = Path(__file__).parent / "presets"
RESNETS = (18, 34, 50, 101, 152)
STORED = ("method", "model_num_layers", "model_num_layers_pose", "model_split_pos", "model_depth_min",
          "model_depth_max", "model_depth_resolutions", "model_num_classes")  # fmt: skip
METADATA = "meta.json"  # beside model.pth: method, options and versions a checkpoint was made with
_ABSENT = object()
ONCE = ("resume", "overwrite")  # said for one start; repeating a run from its opt.json does not repeat them
ELSEWHERE = ("eval_avg_with_flipped",)  # in published opt.json files, without meaning for any command


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(",") if part.strip())


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _decay_factor(text: str) -> float | str:
    return text if text == "released" else float(text)


_WORDS = {int: "a whole number", float: "a number", _floats: "numbers separated by commas",
          _integers: "whole numbers separated by commas", _decay_factor: "a number or 'released'"}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One option, said once: parser, presets, opt.json and the README table all read it.

    `low` and `high` bound numbers (inclusive); `multiple` is what a size must be a multiple of.
    """

    flag: str
    default: Any
    help: str
    choices: tuple = ()
    low: float = float("-inf")
    high: float = float("inf")
    multiple: int = 1
    kind: Callable[[str], Any] | None = None

    @property
    def name(self) -> str:
        """Attribute of the namespace, key of opt.json."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def parse(self) -> Callable[[str], Any]:
        """Text of the command line to value."""
        return self.kind or (_names if isinstance(self.default, tuple) else type(self.default))


def _size(prefix: str, what: str, height: int = 192, width: int = 640) -> list[Option]:
    note = f"{what}, pixels, a multiple of 32"
    return [Option(f"--{prefix}-height", height, f"height of {note}", low=64, multiple=32),
            Option(f"--{prefix}-width", width, f"width of {note}", low=64, multiple=32)]  # fmt: skip


def _unused_size(prefix: str) -> list[Option]:
    return [Option(f"--{prefix}-{side}", size, "accepted, has no effect", low=1)
            for side, size in (("height", 192), ("width", 640))]  # fmt: skip


SYSTEM = ("system", [
    Option("--sys-cpu", False, "compute on the CPU even where a GPU is present"),
    Option("--sys-num-workers", 3, "loader processes per data set; 0 loads in the main process", low=0, high=256),
    Option("--sys-best-effort-determinism", False, "deterministic kernels where they exist (slower)"),
    Option("--sys-seed", 1, "weights, order and augmentation derive from it", low=0, high=2**31 - 1),
    Option("--train-precision", "auto", "numbers inside the networks; geometry and losses stay in float32; "
           "auto: bf16 for training on GPUs that have it, else fp32", ("auto", "fp32", "bf16")),
])  # fmt: skip
NETWORK = ("network", [
    Option("--method", METHODS[0], "published system: network, objective and defaults of its recipe", METHODS),
    Option("--model-num-layers", 18, "layers of the shared ResNet", RESNETS),
    Option("--model-num-layers-pose", 18, "layers of the pose ResNet", RESNETS),
    Option("--model-split-pos", 1, "where depth and segmentation decoders part; 0: from the start", tuple(range(5))),
    Option("--model-depth-min", 0.1, "depth of disparity 1, metres up to scale", low=1e-6),
    Option("--model-depth-max", 100.0, "depth of disparity 0, metres up to scale", low=1e-6),
    Option("--model-depth-resolutions", 4, "number of depth outputs", (1, 2, 3, 4)),
    Option("--model-num-classes", 20, "segmentation outputs; 20: the Cityscapes classes and background", low=2,
           high=255),
    Option("--model-disparity-bias", 5.0, "added to the bias of the depth outputs before training"),
])  # fmt: skip
EXPERIMENT = ("experiment", [
    Option("--dataset-dir", "", "folder with kitti/, cityscapes/ ...; empty: environment IFN_DIR_DATASET"),
    Option("--checkpoint-dir", "", "folder of all runs; empty: environment IFN_DIR_CHECKPOINT"),
    Option("--experiment-class", "sgdepth_eccv_test", "first folder level of the run"),
    Option("--model-name", "sgdepth_base", "second folder level of the run"),
    Option("--model-load", "", "checkpoint folder, below the folder of all runs or absolute"),
    Option("--model-disable-lr-loading", False, "load the network only: not optimiser, schedule, epoch and step"),
    Option("--data-on-missing", "stop", "what to do where image files are missing or cut off: stop before the work "
           "begins, or drop the samples that need them", ("stop", "drop")),
    Option("--data-folder", "", "own data for folder_train and folder_test: every subfolder is one sequence"),
    Option("--data-intrinsics", (), "fx,fy,cx,cy of own data, in pixels of the files", kind=_floats),
])  # fmt: skip
DEPTH_VALIDATION = ("depth validation", [
    *_size("depth-validation-resize", "the network input"),
    *_unused_size("depth-validation-crop"),
    Option("--depth-validation-loaders", ("kitti_kitti_validation",), "data sets, separated by commas; '' for none"),
    Option("--depth-validation-batch-size", 1, "images per batch", low=1),
    Option("--depth-validation-fixed-scaling", 0.0, "factor on predictions; 0: median scaling per image", low=0),
    Option("--depth-ratio-on-validation", False, "print the scaling ratios of the first quarter only"),
    Option("--depth-gt", "raw", "ground truth: raw laser scans, or the improved (accumulated) maps",
           ("raw", "improved")),
    Option("--as-released", False, "KITTI 2015 depth as published, with the focal length before rectification"),
])  # fmt: skip
POSE_VALIDATION = ("pose validation", [
    *_size("pose-validation-resize", "the network input"),
    Option("--pose-validation-loaders", (), "data sets, separated by commas"),
    Option("--pose-validation-batch-size", 1, "image pairs per batch", low=1),
    Option("--pose-validation-fixed-scaling", 0.0, "accepted, has no effect"),
])  # fmt: skip
SEGMENTATION_VALIDATION = ("segmentation validation", [
    *_size("segmentation-validation-resize", "the network input", 512, 1024),
    Option("--segmentation-validation-loaders", ("cityscapes_validation",), "data sets; '' for none"),
    Option("--segmentation-validation-batch-size", 1, "images per batch", low=1),
])  # fmt: skip
PICTURES = ("pictures", [Option("--eval-num-images", 20, "pictures written per data set", low=0)])
TRAINING = ("training", [
    Option("--train-batches-per-epoch", 9645, "steps per epoch", low=1),
    Option("--train-num-epochs", 20, "epochs", low=0),
    Option("--train-checkpoint-frequency", 5, "epochs between checkpoints", low=1),
    Option("--train-tb-frequency", 500, "steps between TensorBoard entries", low=1),
    Option("--train-print-frequency", 2500, "steps between lines of progress", low=1),
    Option("--train-learning-rate", 1e-4, "learning rate of Adam", low=0),
    Option("--train-warmup-steps", 0, "steps over which the learning rate rises from 0; from scratch some hundred keep "
           "the disparity from collapsing before the motion is found", low=0),
    Option("--train-scheduler-step-size", 15, "epochs until the learning rate decays", low=1),
    Option("--train-scheduler-gamma", 0.1, "factor of the decay; 'released': the learning rate itself, as the "
           "published code has it", kind=_decay_factor),
    Option("--train-weight-decay", 0.0, "L2 penalty of Adam", low=0),
    Option("--train-weights-init", "pretrained", "ImageNet weights or random ones", ("pretrained", "scratch")),
    Option("--train-depth-grad-scale", 0.9, "weight of the depth gradient in the shared part", low=0),
    Option("--train-segmentation-grad-scale", 0.1, "weight of the segmentation gradient in the shared part", low=0),
    Option("--train-color-jitter", "on", "colour augmentation", ("on", "off")),
    Option("--resume", "never", "auto: continue the newest valid checkpoint of this --model-name", ("never", "auto")),
    Option("--overwrite", False, "discard the checkpoints this run folder holds and start again"),
])  # fmt: skip
DEPTH_TRAINING = ("depth training", [
    Option("--depth-training-loaders", ("kitti_kitti_train",), "data sets, separated by commas; '' for none"),
    Option("--depth-training-batch-size", 6, "triplets per batch", low=1),
    *_size("depth-resize", "the network input"),
    *_unused_size("depth-crop"),
    Option("--depth-disparity-smoothness", 1e-3, "weight of the smoothness term", low=0),
    Option("--depth-min-sampling-res", 10000, "accepted, has no effect (nor had it in the published code)", low=3),
    Option("--depth-avg-reprojection", False, "mean instead of minimum over the neighbour frames"),
    Option("--depth-disable-automasking", False, "keep pixels that look the same without motion"),
])  # fmt: skip
SEGMENTATION_TRAINING = ("segmentation training", [
    Option("--segmentation-training-loaders", ("cityscapes_train",), "data sets; '' trains depth alone"),
    Option("--segmentation-training-batch-size", 6, "images per batch", low=1),
    Option("--segmentation-resize-height", 512, "height of the image before it is shrunk by 1 to 1.5 and cropped",
           low=64),
    Option("--segmentation-resize-width", 1024, "width of the image before it is shrunk by 1 to 1.5 and cropped",
           low=64),
    *_size("segmentation-crop", "the network input"),
])  # fmt: skip
MASKING = ("masking of moving objects", [
    Option("--masking-enable", False, "drop images whose dynamic classes move"),
    Option("--masking-from-epoch", 15, "first epoch that collects statistics; masking starts in the next", low=0),
    Option("--masking-linear-increase", False, "mask fewer images from epoch to epoch"),
    Option("--moving-mask-percent", 0.1, "share of images masked, a fraction; without linear increase only",
           low=0, high=1),
    Option("--masking-classes", tuple(range(11, 20)), "train ids that may move", kind=_integers),
])  # fmt: skip
INFERENCE = ("inference", [
    Option("--model-path", "", "path of model.pth"),
    Option("--image-path", "", "image, folder (not recursive) or video"),
    Option("--output-path", "", "folder for the pictures; made where missing"),
    *_size("inference-resize", "the network input"),
    Option("--output-format", ".jpg", "file name extension of the pictures"),
    Option("--save-arrays", False, "also write disparity, depth and class ids as .npy"),
])  # fmt: skip

COMMANDS: dict[str, tuple[str, tuple[tuple[str, list[Option]], ...]]] = {
    "train": ("Train depth and segmentation on video and labelled images.",
              (SYSTEM, NETWORK, EXPERIMENT, TRAINING, DEPTH_TRAINING, SEGMENTATION_TRAINING, MASKING,
               DEPTH_VALIDATION, SEGMENTATION_VALIDATION)),
    "eval_depth": ("Measure the depth of a trained network.",
                   (SYSTEM, NETWORK, EXPERIMENT, DEPTH_VALIDATION, PICTURES)),
    "eval_segmentation": ("Measure the segmentation of a trained network.",
                          (SYSTEM, NETWORK, EXPERIMENT, SEGMENTATION_VALIDATION, PICTURES)),
    "eval_pose": ("Measure the camera motion of a trained network.",
                  (SYSTEM, NETWORK, EXPERIMENT, POSE_VALIDATION, PICTURES)),
    "inference": ("Write depth and segmentation of an image, a folder or a video.",
                  (SYSTEM, NETWORK, EXPERIMENT, INFERENCE)),
}  # fmt: skip


class _Parser(ArgumentParser):
    """Says in one sentence what is wrong, and which spelling would have worked."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def options_of(command: str) -> list[Option]:
    """All options of one command, in the order of its help."""
    return [option for _, options in COMMANDS[command][1] for option in options]


def build_parser(command: str) -> ArgumentParser:
    """Parser of one command; options that were not given are absent from its result."""
    about, groups = COMMANDS[command]
    parser = _Parser(prog=f"{command}.py", usage="%(prog)s [options]", description=about, allow_abbrev=False,
                     formatter_class=ArgumentDefaultsHelpFormatter)  # fmt: skip
    parser.add_argument("--config", action="append", default=[], metavar="FILE",
                        help="preset (.toml) or an earlier run's opt.json; may be repeated, later wins")  # fmt: skip
    for title, options in groups:
        group = parser.add_argument_group(title)
        for option in options:
            if isinstance(option.default, bool):
                kind: dict[str, Any] = {"action": BooleanOptionalAction}
            else:
                kind = {"metavar": "{" + ",".join(map(str, option.choices)) + "}" if option.choices else "VALUE"}
            group.add_argument(option.flag, dest=option.name, default=option.default, help=option.help, **kind)
    return parser


def parse(command: str, argv: list[str]) -> Namespace:
    """Options of a command from every source, checked.

    Raises:
        UserError: for an unknown option, a value that is not allowed, or a preset that cannot be read.
    """
    parser = build_parser(command)
    given, configs = _command_line(parser, command, argv)
    table = {option.name: option.default for option in options_of(command)}
    config: dict[str, Any] = {}
    for path in configs:
        config |= _read_preset(path, command)
    known = {**table, **config, **given}
    _resolve_folders(command, known)
    stored = {} if command == "train" else _stored_with_checkpoint(known)
    method = given.get("method") or stored.get("method") or config.get("method") or table["method"]
    values = table | _read_preset(str(PRESETS / f"{method}.toml"), command) | config | stored | given
    values["method"] = method
    _resolve_folders(command, values)
    args = Namespace(**values, config=configs)
    _check_together(args)
    return args


def _command_line(parser: ArgumentParser, command: str, argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    options = {option.name: option for option in options_of(command)}
    for place in range(len(argv) - 1, 0, -1):  # argparse takes "-1,2" for an option
        if argv[place - 1].startswith("--") and re.match(r"-[\d.]+,", argv[place]):
            argv = [*argv[: place - 1], f"{argv[place - 1]}={argv[place]}", *argv[place + 1 :]]
    # A namespace that already holds a name keeps it: what was not given stays absent, the help still shows defaults.
    found, rest = parser.parse_known_args(argv, Namespace(**dict.fromkeys(options, _ABSENT), config=[]))
    if rest and not rest[0].startswith("-"):
        raise UserError(f"{rest[0]!r}: belongs to no option of {command}.py; separate several values by commas")
    if rest:
        flags = [option.flag for option in options.values()]
        raise UserError(f"{rest[0]}: unknown option of {command}.py{closest(rest[0], flags)}; see --help")
    given = {name: value for name, value in vars(found).items() if name in options and value is not _ABSENT}
    return {name: _checked(options[name], value, options[name].flag) for name, value in given.items()}, found.config


def _checked(option: Option, value: Any, where: str) -> Any:
    """Value of an option from text, TOML or JSON; UserError naming `where` it came from."""
    if isinstance(option.default, bool):
        if not isinstance(value, bool):
            raise UserError(f"{where}: {value!r} is neither true nor false")
        return value
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    elif option.default == "" and value is None:
        value = ""
    try:
        result = option.parse(str(value))
    except (ValueError, OverflowError):
        raise UserError(f"{where}: {str(value)!r} is not {_WORDS.get(option.parse, 'a valid value')}") from None
    if option.choices and result not in option.choices:
        allowed = ", ".join(map(str, option.choices))
        hint = closest(str(result), map(str, option.choices)) if isinstance(result, str) else ""
        raise UserError(f"{where}: {result!r} is not one of {allowed}{hint}")
    if isinstance(result, int | float):
        if not (option.low <= result <= option.high and math.isfinite(result)):
            low = f" of at least {option.low:g}" if math.isfinite(option.low) else ""
            high = f" and at most {option.high:g}" if math.isfinite(option.high) else ""
            raise UserError(f"{where}: {result} is out of range; give a finite number{low}{high}")
        if option.multiple > 1 and result % option.multiple:
            lower = result - result % option.multiple
            raise UserError(f"{where}: {result} is not a multiple of {option.multiple}; "
                            f"nearest are {lower} and {lower + option.multiple}")  # fmt: skip
    return result


def _read_preset(path: str, command: str) -> dict[str, Any]:
    """Options of a preset or of an earlier run's opt.json that this command knows."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"--config {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"--config {path}: not a valid preset ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"--config {path}: holds no table of options")
    mine = {option.name: option for option in options_of(command)}
    everything = {option.name for name in COMMANDS for option in options_of(name)} | {"config", *ELSEWHERE}
    values = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name in ONCE and path.endswith(".json"):
            continue
        if name in mine:
            values[name] = _checked(mine[name], value, f"{path}: {key}")
        elif name not in everything:
            raise UserError(f"{path}: unknown option {key!r}{closest(name, everything)}")
    return values


def _resolve_folders(command: str, values: dict[str, Any]) -> None:
    if command == "inference":
        return
    for name, variable in (("dataset_dir", "IFN_DIR_DATASET"), ("checkpoint_dir", "IFN_DIR_CHECKPOINT")):
        values[name] = values[name] or os.environ.get(variable, "")


def trained_with(values: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Notes beside the checkpoint that is to be loaded, and all options in them; {} for published files.

    Raises:
        UserError: when they are damaged.
    """
    path = values.get("model_path", "")
    if not (path or values["model_load"]):
        return Path(), {}
    folder = Path(path) if path else Path(values["checkpoint_dir"]) / values["model_load"]
    notes = (folder if folder.is_dir() else folder.parent) / METADATA
    if not notes.is_file():
        return notes, {}
    try:
        return notes, dict(json.loads(notes.read_text(encoding="utf-8"))["options"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{notes}: damaged ({error}); delete it and give --method, --model-num-layers "
                        "and the depth range on the command line") from None  # fmt: skip


def _stored_with_checkpoint(values: dict[str, Any]) -> dict[str, Any]:
    """Method, network shape and depth range that a checkpoint of ours names; nothing for published files."""
    notes, options = trained_with(values)
    table = {option.name: option for option in NETWORK[1]}
    return {name: _checked(table[name], options[name], f"{notes}: {name}") for name in STORED if name in options}


def _check_together(args: Namespace) -> None:
    """What one option cannot know alone."""
    if args.model_depth_min >= args.model_depth_max:
        raise UserError(f"--model-depth-min {args.model_depth_min}: must be below --model-depth-max "
                        f"{args.model_depth_max}")  # fmt: skip
    if getattr(args, "overwrite", False) and args.resume == "auto":
        raise UserError("--overwrite and --resume auto: one discards the run, the other continues it; give one of them")
    if args.data_intrinsics and len(args.data_intrinsics) != 4:
        raise UserError(f"--data-intrinsics: {len(args.data_intrinsics)} numbers; give the four fx,fy,cx,cy in pixels")
    for name in ("model_name", "experiment_class"):
        value = getattr(args, name)
        if value in ("", ".") or "\0" in value or Path(value).is_absolute() or ".." in Path(value).parts:
            raise UserError(f"--{name.replace('_', '-')} {value!r}: not a folder name below the checkpoint folder; "
                            "give a plain name")  # fmt: skip


def markdown_table(options: Iterable[Option]) -> str:
    """The options as rows of a Markdown table; README and docs are made from it."""
    def shown(value: Any) -> str:
        if isinstance(value, bool):
            return "on" if value else "off"
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        return f"`{text}`" if text else "-"

    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for option in options:
        choices = f" ({', '.join(map(str, option.choices))})" if option.choices else ""
        lines.append(f"| `{option.flag}` | {shown(option.default)} | {option.help}{choices} |")
    return "\n".join(lines) + "\n"
