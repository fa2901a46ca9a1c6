"""Options from every source, checked; one parser per command. Imports no torch.

Later wins: default of the table, preset of the method, ``--config`` files in the order given, what is stored
with the checkpoint (evaluation and inference only), the command line.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import tomllib
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from errors import UserError, closest
from presets.options import COMMANDS, NETWORK, WORDS, Option, options_of
from storage.notes import METADATA, Damaged, read

PRESETS = Path(__file__).parent / "presets"
ATTENTION = ("model_attention", "model_attention_strips", "model_attention_gain", "model_aspp")
SHAPE = (
    "model_num_layers",
    "model_num_layers_pose",
    "model_split_pos",
    "model_depth_resolutions",
    "model_num_classes",
    *ATTENTION,
)
STORED = ("method", "model_depth_min", "model_depth_max", *SHAPE)  # with a checkpoint, for evaluation and inference
MOST_BYTES = 1 << 20  # of a preset
MOST_BITS = 256  # of a whole number in a message
LARGEST = 2**31 - 1  # whole number
_ABSENT = object()
ONCE = ("resume", "overwrite")  # said for one start; repeating a run from its opt.json does not repeat them
ELSEWHERE = ("eval_avg_with_flipped",)  # in published opt.json files, without meaning for any command


class _Parser(ArgumentParser):
    """Says in one sentence what is wrong, and which spelling would have worked."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


class _Short(reprlib.Repr):
    """Values as messages show them, whatever a file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write large ones."""
        return super().repr_int(value, level) if value.bit_length() < MOST_BITS else "a number of many digits"


_SHORT = _Short()


def build_parser(command: str) -> ArgumentParser:
    """Parser of one command; options that were not given are absent from its result."""
    about, groups = COMMANDS[command]
    parser = _Parser(
        prog=f"{command}.py",
        usage="%(prog)s [options]",
        description=about,
        allow_abbrev=False,
        formatter_class=ArgumentDefaultsHelpFormatter,
        epilog="The recipe of a method, presets/<method>.toml where there is one, replaces the defaults "
        "above; --config and the command line replace both.",
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="preset (.toml) or an earlier run's opt.json; may be repeated, later wins",
    )
    for title, options in groups:
        group = parser.add_argument_group(title)
        for option in options:
            if isinstance(option.default, bool):
                kind: dict[str, Any] = {"action": BooleanOptionalAction}
            else:
                kind = {"metavar": "{" + ",".join(map(str, option.choices)) + "}" if option.choices else "VALUE"}
            group.add_argument(option.flag, dest=option.name, default=option.default, help=option.help, **kind)
    return parser


def as_table(args: Namespace) -> dict[str, Any]:
    """Names and values of all options, without the notes of `parse` on where they came from."""
    return {name: value for name, value in vars(args).items() if name not in ("config", "said")}


def parse(command: str, argv: list[str]) -> Namespace:
    """Options of a command from every source, checked.

    The result also holds `config`, the files it was made with, and `said`, the names that neither the table nor the
    preset of the method decided.

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
    args = Namespace(**values, config=configs, said=sorted({*config, *stored, *given}))
    _check_together(args)
    return args


def _command_line(parser: ArgumentParser, command: str, argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    options = {option.name: option for option in options_of(command)}
    valued = {option.flag for option in options.values() if not isinstance(option.default, bool)} | {"--config"}
    for place in range(len(argv) - 1, 0, -1):  # argparse takes "-1,2" and "-name" for an option
        if argv[place - 1] in valued and re.match("-[^-]", argv[place]):
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
            raise UserError(f"{where}: {_SHORT.repr(value)} is neither true nor false")
        return value
    try:
        text = _text(option, value)
        os.fsencode(text)  # what no file can be called
        result = option.parse(text)
        if isinstance(result, int) and result.bit_length() > MOST_BITS:
            raise OverflowError
    except (ValueError, OverflowError):
        wanted = WORDS.get(option.parse, "a valid value")
        raise UserError(f"{where}: {_SHORT.repr(value)} is not {wanted}") from None
    if option.choices and result not in option.choices:
        allowed = ", ".join(map(str, option.choices))
        hint = closest(result[:80], map(str, option.choices)) if isinstance(result, str) else ""
        raise UserError(f"{where}: {_SHORT.repr(result)} is not one of {allowed}{hint}")
    if isinstance(result, int | float):
        highest = min(option.high, LARGEST) if isinstance(result, int) else option.high
        if not (option.low <= result <= highest and math.isfinite(result)):
            low = f" of at least {option.low:g}" if math.isfinite(option.low) else ""
            high = f" and at most {highest:.10g}" if math.isfinite(highest) else ""
            raise UserError(f"{where}: {result} is out of range; give a finite number{low}{high}")
        if option.multiple > 1 and result % option.multiple:
            lower = result - result % option.multiple
            raise UserError(
                f"{where}: {result} is not a multiple of {option.multiple}; "
                f"nearest are {lower} and {lower + option.multiple}"
            )
    return result


def _text(option: Option, value: Any) -> str:
    """What a value of TOML or JSON is on the command line; raises ValueError for one of another kind."""
    if isinstance(value, list | tuple) and isinstance(option.default, tuple):
        return ",".join(_text(replace(option, default=0), part) for part in value)
    if value is None and option.default == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    return str(value)


def _read_preset(path: str, command: str) -> dict[str, Any]:
    """Options of a preset or of an earlier run's opt.json that this command knows."""
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES} bytes")
        text = raw.decode()
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
        # The teacher of a training is none of the evaluation's, whose option of that name asks for another one.
        if name == "patch_teacher" and not {"patch_refine", "patch-refine"} & {*content} and "patch_refine" in mine:
            continue
        if name in mine:
            values[name] = _checked(mine[name], value, f"{path}: {key}")
        elif name not in everything:
            raise UserError(f"{path}: unknown option {_SHORT.repr(key)}{closest(name[:80], everything)}")
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
        return notes, read(notes)["options"]
    except Damaged as error:
        raise UserError(
            f"{notes}: damaged ({error}); delete it and give --method, --model-num-layers "
            "and the depth range on the command line"
        ) from None


def with_checkpoint(args: Namespace, checkpoint: str) -> Namespace:
    """Options for another checkpoint than the one they were parsed for, with what is stored beside it.

    What was said about the first network is not said about this one.
    """
    values = vars(args) | {"model_load": checkpoint, "model_path": ""}
    stored = _stored_with_checkpoint(values)
    return Namespace(**values | stored | {"said": sorted(stored)})


def _stored_with_checkpoint(values: dict[str, Any]) -> dict[str, Any]:
    """Method, network shape and depth range that a checkpoint of ours names; nothing for published files."""
    notes, options = trained_with(values)
    table = {option.name: option for option in NETWORK[1]}
    if options:  # checkpoints older than attention have none
        options = {name: table[name].default for name in ATTENTION} | options
    return checked_network({name: options[name] for name in STORED if name in options}, notes)


def checked_network(values: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Options of the network that a file says.

    Raises:
        UserError: naming the file and the option whose value is not allowed.
    """
    table = {option.name: option for option in NETWORK[1]}
    return {name: _checked(table[name], value, f"{where}: {name}") for name, value in values.items()}


def _check_together(args: Namespace) -> None:
    """What one option cannot know alone."""
    if args.model_depth_min >= args.model_depth_max:
        raise UserError(
            f"--model-depth-min {args.model_depth_min}: must be below --model-depth-max {args.model_depth_max}"
        )
    if getattr(args, "overwrite", False) and args.resume == "auto":
        raise UserError("--overwrite and --resume auto: one discards the run, the other continues it; give one of them")
    if "overwrite" in args and args.model_attention_gain and args.model_attention == "none":
        raise UserError(
            "--model-attention-gain: there is nothing to weigh with --model-attention none; give another "
            "one or --no-model-attention-gain"
        )
    if args.data_intrinsics and len(args.data_intrinsics) != 4:
        raise UserError(f"--data-intrinsics: {len(args.data_intrinsics)} numbers; give the four fx,fy,cx,cy in pixels")
    for name in ("model_name", "experiment_class"):
        value = getattr(args, name)
        if value in ("", ".") or "\0" in value or Path(value).is_absolute() or ".." in Path(value).parts:
            raise UserError(
                f"--{name.replace('_', '-')} {value!r}: not a folder name below the checkpoint folder; "
                "give a plain name"
            )


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
