"""Options to a parser, and to the tables of the documents. Imports no torch."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentDefaultsHelpFormatter, ArgumentParser, BooleanOptionalAction
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from errors import UserError

from .option import Group, Option
from .values import word


class _Parser(ArgumentParser):
    """Says in one sentence what is wrong, and which spelling would have worked."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def make_parser(program: str, about: str, groups: Iterable[Group], defaults: Mapping[str, Any]) -> ArgumentParser:
    """Parser that says these defaults; options that were not given are absent from its result."""
    parser = _Parser(
        prog=program,
        usage="%(prog)s [options]",
        description=about,
        allow_abbrev=False,
        add_help=False,
        argument_default=SUPPRESS,
        formatter_class=ArgumentDefaultsHelpFormatter,
        epilog="Options and defaults are those of one method; --method NAME --help shows those of another. Defaults "
        "come from presets/<method>.toml and the table of options; --config and the command line replace them.",
    )
    parser.add_argument("-h", "--help", action="store_true", default=SUPPRESS, help="show the options and exit")
    parser.add_argument(
        "--config",
        action="append",
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
            if option.several:
                kind |= {"nargs": "+"}
            if option.name in defaults:
                kind["default"] = word(defaults[option.name])
            group.add_argument(option.flag, dest=option.name, help=option.help, **kind)
    return parser


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
