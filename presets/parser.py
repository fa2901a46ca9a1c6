"""Options to a parser, and to the tables of the documents. Imports no torch."""

from __future__ import annotations

import textwrap
from argparse import (
    SUPPRESS,
    ArgumentDefaultsHelpFormatter,
    ArgumentParser,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from errors import UserError

from .option import Group, Option
from .values import checked, word

EXAMPLES = {
    "train": (
        "--depth-training-loaders kitti_zhou_train --depth-validation-loaders kitti_zhou_validation --model-name first",
        "--method monodepth2 --depth-training-loaders kitti_zhou_train --model-name monodepth2",
        "--config presets/sgdepth_street.toml --dataset-dir street --checkpoint-dir runs --model-name street",
        "--model-name first --resume auto",
    ),
    "eval_depth": (
        "--model-load monodepth2:mono_640x192 --fetch --depth-validation-loaders kitti_eigen_test --model-name eigen",
        "--model-load sgdepth_eccv_test/first/checkpoints/epoch_20 --depth-validation-loaders kitti_zhou_test",
        "--model-load dpt-hybrid-kitti --fetch --depth-validation-loaders kitti_eigen_benchmark_test",
    ),
    "eval_segmentation": (
        "--model-load sgdepth_eccv_test/first/checkpoints/epoch_20 --segmentation-validation-loaders "
        "cityscapes_validation",
    ),
    "eval_pose": ("--model-load monodepth2:mono_640x192 --fetch --pose-validation-loaders kitti_odom09_validation",),
    "inference": (
        "--model-path monodepth2:mono_640x192 --fetch --image-path photo.jpg --output-path out",
        "--model-path dpt-hybrid --image-path photos --recursive --output-path out --save picture,disparity",
        "--model-path runs/a/b/checkpoints/epoch_20 --image-path drive.mp4 --output-path out --depth-scale 31.5",
        "--model-path monodepth2:mono_640x192 --image-path camera:0 --output-path out",
        "--list-models",
    ),
    "export": (
        "--model-path monodepth2:mono_640x192 --fetch --output mono.onnx",
        "--model-path runs/a/b/checkpoints/epoch_20 --output a.pt2 --height 320 --width 1024 --dynamic",
        "--model-path runs/a/b/checkpoints/epoch_20 --format safetensors --output upload --licence MIT",
    ),
}
"""What to type after the name of a command."""
OFTEN = {
    "train": (
        "--method",
        "--dataset-dir",
        "--checkpoint-dir",
        "--model-name",
        "--depth-training-loaders",
        "--depth-validation-loaders",
        "--depth-training-batch-size",
        "--model-load",
        "--resume",
        "--sys-cpu",
    ),
    **{
        f"eval_{purpose}": (
            "--method",
            "--dataset-dir",
            "--checkpoint-dir",
            "--model-load",
            "--fetch",
            "--model-name",
            f"--{purpose}-validation-loaders",
            "--depth-protocol",
            "--eval-num-images",
            "--sys-cpu",
        )
        for purpose in ("depth", "segmentation", "pose")
    },
    "inference": (
        "--model-path",
        "--fetch",
        "--list-models",
        "--image-path",
        "--recursive",
        "--output-path",
        "--save",
        "--fit",
        "--depth-scale",
        "--sys-cpu",
    ),
    "export": (
        "--method",
        "--model-path",
        "--fetch",
        "--format",
        "--output",
        "--inference-resize-height",
        "--inference-resize-width",
        "--dynamic",
        "--precision",
        "--image-path",
    ),
}
"""Options that are used most, by command."""
ORIGIN = (
    "Options and defaults are those of one method; --method NAME with --help or --help-all shows those of another. "
    "Defaults come from presets/<method>.toml and the table of options; --config and the command line replace them."
)


class _Formatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Defaults behind the help of each option; lines of the text below as they are."""


class _Parser(ArgumentParser):
    """Says in one sentence what is wrong, and which spelling would have worked."""

    def __init__(self, program: str, about: str, **more: Any):
        usual = {"usage": "%(prog)s [options]", "formatter_class": ArgumentDefaultsHelpFormatter}
        super().__init__(prog=program, description=about, allow_abbrev=False, **usual, **more)
        self.written: dict[str, str] = {}  # option as argparse names it -> how it is written

    def error(self, message: str) -> NoReturn:
        option, _, fault = message.removeprefix("argument ").partition(": ")
        if option in self.written and fault.startswith("expected"):
            raise UserError(f"{option}: {fault}; write {self.written[option]}")
        if fault.startswith("ignored explicit argument"):  # of a switch
            raise UserError(f"{option}: takes no value; write one of both as it stands here")
        raise UserError(message)


def short_parser(command: str, about: str, groups: Iterable[Group], defaults: Mapping[str, Any]) -> ArgumentParser:
    """Parser for a first look: examples, and the options that are used most."""
    options = {option.flag: option for _, group in groups for option in group}
    often = tuple(options[flag] for flag in OFTEN[command] if flag in options)
    parser = make_parser(f"{command}.py", about, [("options that are used most", often)], defaults)
    examples = "\n".join(f"  python {command}.py {words}" for words in EXAMPLES[command])
    lines = textwrap.wrap(f"--help-all shows all {len(options)} options. {ORIGIN}", 78)
    parser.epilog = "\n".join(["examples:", examples, "", *lines])
    parser.formatter_class = _Formatter
    return parser


def make_parser(program: str, about: str, groups: Iterable[Group], defaults: Mapping[str, Any]) -> ArgumentParser:
    """Parser that says these defaults; options that were not given are absent from its result."""
    parser = _Parser(program, about, add_help=False, argument_default=SUPPRESS, epilog=ORIGIN)
    shown = {"action": "store_true", "default": SUPPRESS}
    parser.add_argument("-h", "--help", help="show examples and the options that are used most, and exit", **shown)
    parser.add_argument("--help-all", help="show all options and exit", **shown)
    parser.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help="preset (.toml) or an earlier run's opt.json; may be repeated, later wins",
    )
    _add_options(parser, groups, defaults)
    return parser


def plain_parser(program: str, about: str, groups: Iterable[Group]) -> ArgumentParser:
    """Parser of a command that has the same options for every method, for `checked_options`."""
    parser = _Parser(program, about)
    groups = [*groups]
    _add_options(parser, groups, {option.name: option.default for _, options in groups for option in options})
    return parser


def checked_options(parser: ArgumentParser, groups: Iterable[Group], argv: list[str]) -> Namespace:
    """Options of a parser of `plain_parser`, checked.

    Raises:
        UserError: for an unknown option, or a value that is not allowed.
    """
    options = [option for _, group in groups for option in group]
    given = parser.parse_args(argv, Namespace(**{option.name: None for option in options}))
    values = {option.name: option.default for option in options}
    for option in options:
        if (text := getattr(given, option.name)) is not None:
            values[option.name] = checked(option, text, option.flag)
    return Namespace(**values)


def _add_options(parser: _Parser, groups: Iterable[Group], defaults: Mapping[str, Any]) -> None:
    groups = [*groups]
    own = {option.flag for _, options in groups for option in options}
    for title, options in groups:
        group = parser.add_argument_group(title)
        for option in options:
            also = [flag for flag in option.also if flag not in own]
            if isinstance(option.default, bool):
                kind: dict[str, Any] = {"action": BooleanOptionalAction}
            else:
                kind = {"metavar": "{" + ",".join(map(str, option.choices)) + "}" if option.choices else "VALUE"}
            if option.several:
                kind |= {"nargs": "+"}
            if option.name in defaults:
                kind["default"] = word(defaults[option.name])
            group.add_argument(option.flag, *also, dest=option.name, help=option.help, **kind)
            value = " or ".join(str(each) for each in option.choices if each != "") or "VALUE"
            parser.written["/".join((option.flag, *also))] = f"{option.flag} {value}"


def markdown_table(options: Iterable[Option]) -> str:
    """The options as rows of a Markdown table; README and docs are made from it."""

    def cell(value: Any) -> str:
        text = word(value)
        return {"''": "-"}.get(text, text if isinstance(value, bool) else f"`{text}`")

    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for option in options:
        choices = ", ".join(str(choice) for choice in option.choices if choice != "")
        lines.append(
            f"| `{option.flag}` | {cell(option.default)} | {option.help}{f' ({choices})' if choices else ''} |"
        )
    return "\n".join(lines) + "\n"
