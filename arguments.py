"""Options from every source, checked; one parser per command and method. Imports no torch.

Later wins: default of the table, preset of the method, the size a checkpoint was trained at (evaluation and
inference only), ``--config`` files in the order given, the network that is stored with the checkpoint (likewise), the
command line.
"""

from __future__ import annotations

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from errors import UserError, closest
from methods import METHODS, NAMES
from presets.files import read_file
from presets.foreign import answer, counterpart
from presets.option import Group, Option
from presets.parser import make_parser, short_parser
from presets.speed import SPEED
from presets.values import check_together, checked, shown
from storage.catalogue import MODELS, is_name, method_of
from storage.notes import Damaged, notes_of, read
from storage.uploads import name_uploads

COMMANDS = {
    "train": "Train a method on video, and on labelled images where it segments.",
    "eval_depth": "Measure the depth of a trained network.",
    "eval_segmentation": "Measure the segmentation of a trained network.",
    "eval_pose": "Measure the camera motion of a trained network.",
    "inference": "Write depth and segmentation of images, folders, videos or what a camera sees.",
    "export": "Write a trained network as a file that others run, once it agrees with PyTorch on pictures.",
}
PRESETS = Path(__file__).parent / "presets"
ONCE = ("resume", "overwrite")  # said for one start; repeating a run from its opt.json does not repeat them
ELSEWHERE = ("eval_avg_with_flipped",)  # in published opt.json files, without meaning for any command
HISTORY = ("config", "said", "command", "argv")  # of a namespace: how it came to be, no options


def methods_of(command: str) -> list[str]:
    """Methods that a command takes."""
    return [name for name in NAMES if command in METHODS[name].options]


def method_option(command: str) -> Option:
    """``--method`` of a command."""
    about = "published system: network, objective and defaults of its recipe"
    frozen = [f"; {name}: {METHODS[name].about}" for name in methods_of(command) if not METHODS[name].trained]
    return Option("--method", NAMES[0], about + "".join(frozen), tuple(methods_of(command)), network=True)


def groups_of(command: str, method: str) -> tuple[Group, ...]:
    """Titled options of a command for a method, in the order of the help."""
    return (("method", (method_option(command),)), *METHODS[method].options[command], *SPEED.get(command, ()))


def options_of(command: str, method: str = "") -> list[Option]:
    """All options of one command for a method, or, where none is named, for any: then each name once."""
    return [*_options_by_name(command, method).values()]


@cache
def _options_by_name(command: str, method: str) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for name in [method] if method else methods_of(command):
        for _, options in groups_of(command, name):
            for option in options:
                found.setdefault(option.name, option)
    return found


def network_options(method: str) -> dict[str, Option]:
    """Options that shape the network of a method or say what its numbers mean, by name; `method` is not among them."""
    groups = [group for groups in METHODS[method].options.values() for group in groups]
    return {option.name: option for _, options in groups for option in options if option.network}


def build_parser(command: str, method: str) -> ArgumentParser:
    """Parser of a command with the options of a method and the defaults of its recipe, for the help."""
    return make_parser(f"{command}.py", COMMANDS[command], groups_of(command, method), _recipe(command, method))


def _build_short(command: str, method: str) -> ArgumentParser:
    return short_parser(command, COMMANDS[command], groups_of(command, method), _recipe(command, method))


def as_table(args: Namespace) -> dict[str, Any]:
    """Names and values of all options, without the notes of `parse` on where they came from."""
    return {name: value for name, value in vars(args).items() if name not in HISTORY}


def parse(command: str, argv: list[str], told: str = "") -> Namespace:
    """Options of a command from every source, checked; ``--help`` prints what those of the method are, and exits.

    The method is the first that is named: on the command line, beside the checkpoint, in a ``--config`` file; else
    it is the default. Where nobody names it, evaluation and inference take the options of any method, for the keys of
    a published file may still tell whose it is: see `reparsed`.

    The result also holds `config`, the files it was made with, `said`, the names that neither the table nor the
    preset of the method decided, and `command` and `argv`.

    told: the method, where the keys of a file have told it

    Raises:
        UserError: for an unknown option, one of another method, a value that is not allowed, or a preset that cannot
            be read.
    """
    typed, configs = _command_line(command, argv)
    contents = [(path, read_file(path)) for path in configs]
    table = {option.name: option for option in options_of(command)}
    first = ("method", "checkpoint_dir", "model_load", "model_path", "fetch")
    table = {name: table[name] for name in first if name in table}
    early = _chosen(command, contents, table)
    places = {name: option.default for name, option in table.items()} | early | _given(argv, typed, table)
    _resolve_folders(command, places)
    name_uploads(places)
    notes, trained = (Path(), {}) if command == "train" else trained_with(places)
    kept = {"method": _taken(command, trained["method"], f"{notes}: method")} if "method" in trained else {}
    facts = _told_by_name(command, places)
    kept |= {name: value for name, value in facts.items() if name == "method"}
    named = told or (early | kept | _given(argv, typed, {"method": table["method"]})).get("method", "")
    method = named or NAMES[0]
    if {"help", "help_all"} & {*typed}:
        (build_parser if "help_all" in typed else _build_short)(command, method).print_help()
        raise SystemExit(0)

    own = {option.name: option for option in options_of(command, method)}
    if named or command == "train":
        _refuse_foreign(command, method, typed, own)
    config, given = _chosen(command, contents, own), _given(argv, typed, own)
    followed = {
        option.name: checked(option, trained[option.follows], f"{notes}: {option.follows}")
        for option in own.values()
        if option.follows in trained
    }
    stored = _stored_network(method, trained, notes)
    if facts.get("method") == method:
        stored |= {name: checked(own[name], value, name) for name, value in facts.items() if name != "method"}
    values = _recipe(command, method) | followed | config | stored | given | {"method": method}
    _resolve_folders(command, values)
    name_uploads(values)
    said = sorted({*config, *kept, *stored, *({*typed} & {option.name for option in options_of(command)})})
    args = Namespace(**values, config=configs, said=said, command=command, argv=argv)
    check_together(args)
    return args


def reparsed(args: Namespace, method: str) -> Namespace:
    """The options of `parse`, now that the keys of a file have told the method, which nobody had named.

    Raises:
        UserError: as `parse`, for an option on the command line that this method does not have, and when the command
            does not take the method.
    """
    return parse(args.command, args.argv, _taken(args.command, method, "--method"))


def _taken(command: str, method: Any, where: str) -> Any:
    """The method of a network, which the command must take; `where` says so.  Raises `UserError` where it does not."""
    option = method_option(command)
    if isinstance(method, str) and method in METHODS and method not in option.choices:
        raise UserError(
            f"{where}: {method!r} is not one of {', '.join(option.choices)}, the methods whose networks {command}.py "
            "takes; give a network of theirs"
        )
    return checked(option, method, where)


def _command_line(command: str, argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What was given to the options of any method, as text or switch, by name; and the files of ``--config``."""
    options = options_of(command)
    valued = {flag for each in options if not isinstance(each.default, bool) for flag in (each.flag, *each.also)}
    valued.add("--config")
    for place in range(len(argv) - 1, 0, -1):  # argparse takes "-1,2" and "-name" for an option
        if argv[place - 1] in valued and re.match("-[^-]", argv[place]):
            argv = [*argv[: place - 1], f"{argv[place - 1]}={argv[place]}", *argv[place + 1 :]]
    parser = make_parser(f"{command}.py", COMMANDS[command], [("options", tuple(options))], {})
    found, rest = parser.parse_known_args(argv)
    typed = vars(found)
    if rest and not {"help", "help_all"} & {*typed}:
        method = typed.get("method", "")
        raise UserError(
            _unknown(command, rest[0], options_of(command, method if method in methods_of(command) else ""))
        )
    return typed, typed.pop("config", [])


def _unknown(command: str, word: str, options: Iterable[Option]) -> str:
    """What is wrong with a word of the command line that belongs to none of the options."""
    if not word.startswith("-"):
        return f"{word!r}: belongs to no option of {command}.py; separate several values by commas"
    switches = [option.flag for option in options if isinstance(option.default, bool)]
    flags = [option.flag for option in options]
    flag = word.partition("=")[0]
    if instead := answer(flag, {*flags, "--config", *(f"--no-{name.removeprefix('--')}" for name in switches)}):
        return f"{flag}: unknown here; {instead}"
    plain = f"--{flag.removeprefix('--no-').removeprefix('--')}"
    owners = [f"{other}.py" for other in COMMANDS if plain in {option.flag for option in options_of(other)}]
    if owners and command not in owners:
        return f"{flag}: an option of {', '.join(owners)}, not of {command}.py; leave it out, or see --help-all"
    return f"{word}: unknown option of {command}.py{closest(word, flags)}; see --help-all"


def _given(argv: Sequence[str], typed: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """Values of these options on the command line; what is wrong with one is told by the flag that was typed."""
    words = {word.partition("=")[0] for word in argv}
    return {
        name: checked(option, typed[name], next((flag for flag in option.also if flag in words), option.flag))
        for name, option in options.items()
        if name in typed
    }


def _refuse_foreign(command: str, method: str, typed: Mapping[str, Any], own: Mapping[str, Option]) -> None:
    for option in options_of(command):
        if option.name in typed and option.name not in own:
            owners = [name for name in methods_of(command) if option in options_of(command, name)]
            flag = f"--no-{option.flag.removeprefix('--')}" if typed[option.name] is False else option.flag
            instead = counterpart(option.flag, {each.flag for each in own.values()})
            raise UserError(
                f"{flag}: an option of --method {', '.join(owners)}, and this is --method {method}; "
                f"{instead or f'leave it out or pass --method {owners[0]}'}"
            )


def _recipe(command: str, method: str) -> dict[str, Any]:
    """Defaults of the table, changed by the preset of the method."""
    path = str(PRESETS / f"{method}.toml")
    options = {option.name: option for option in options_of(command, method)}
    values = {name: option.default for name, option in options.items()}
    return values | _chosen(command, [(path, read_file(path))], options) | {"method": method}


def _chosen(
    command: str, contents: Iterable[tuple[str, Mapping[str, Any]]], options: Mapping[str, Option]
) -> dict[str, Any]:
    """Values of these options in files, later ones first; those of other commands and methods are passed over."""
    values = {}
    once = ONCE if command == "train" else (*ONCE, "model_decoder_path", "frame_step")  # of a training alone
    for path, content in contents:
        for key, value in content.items():
            name = key.replace("-", "_")
            if name in once and path.lower().endswith(".json"):
                continue
            # The teacher of a training is none of the evaluation's, whose option of that name asks for another one.
            if name == "patch_teacher" and command != "train" and not {"patch_refine", "patch-refine"} & {*content}:
                continue
            if name in options:
                values[name] = checked(options[name], value, f"{path}: {key}")
            elif name not in _every_name():
                raise UserError(f"{path}: unknown option {shown(key)}{closest(name[:80], _every_name())}")
    return values


@cache
def _every_name() -> frozenset[str]:
    """What a preset or an opt.json may hold: options of all commands and methods."""
    options = {option.name for command in COMMANDS for option in options_of(command)}
    return frozenset({*options, "config", *ELSEWHERE})


def _resolve_folders(command: str, values: dict[str, Any]) -> None:
    if command in ("inference", "export"):
        return
    for name, variable in (("dataset_dir", "IFN_DIR_DATASET"), ("checkpoint_dir", "IFN_DIR_CHECKPOINT")):
        values[name] = values.get(name) or os.environ.get(variable, "")


def trained_with(values: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Notes beside the checkpoint that is to be loaded, and all options in them; {} for published files.

    Raises:
        UserError: when they are damaged.
    """
    path = values.get("model_path", "")
    folder = Path(path) if path else Path(values["checkpoint_dir"]) / values["model_load"]
    if not (path or values["model_load"]) or (is_name(path or values["model_load"]) and not os.path.exists(folder)):
        return Path(), {}
    notes = notes_of(folder)
    if notes is None:
        return Path(), {}
    try:
        return notes, read(notes)["options"]
    except Damaged as error:
        raise UserError(
            f"{notes}: damaged ({error}); delete it and give --method, --model-num-layers "
            "and the depth range on the command line"
        ) from None


def _told_by_name(command: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`method`, and options its files do not tell, of a published network that evaluation or inference names.

    Raises:
        UserError: when the command does not take that method.
    """
    flag = "model_path" if values.get("model_path") else "model_load"
    name = values.get(flag, "")
    method = "" if os.path.exists(Path(values.get("checkpoint_dir", "")) / name) else method_of(name)
    if command == "train" or not method:
        return {}
    if method not in methods_of(command):
        raise UserError(
            f"--{flag.replace('_', '-')} {name}: a network of --method {method}, which {command}.py does not take"
        )
    return {"method": method, **(MODELS[name].options if name in MODELS else {})}


def with_checkpoint(args: Namespace, checkpoint: str, decoder: str = "", told: str = "") -> Namespace:
    """Options for another checkpoint than the one they were parsed for, with what is stored beside it.

    What was said about the first network is not said about this one. A checkpoint of another method brings the
    options of that method, with their defaults.

    told: its method, where there are no notes beside it; "" for that of `args`

    Raises:
        UserError: when the notes beside it are damaged.
    """
    values = vars(args) | {"model_load": checkpoint, "model_path": "", "model_decoder_path": decoder, "said": []}
    notes, trained = trained_with(values)
    method = checked(Option("--method", "", "", NAMES), trained.get("method", told or args.method), f"{notes}: method")
    stored = {"method": method} | (_stored_network(method, trained, notes) if "method" in trained else {})
    if method != args.method:
        options = [option for command in METHODS[method].options for option in options_of(command, method)]
        table = {option.name: option.default for option in options} | _recipe("eval_depth", method)
        shared = {*table} - {*network_options(method)} | {*HISTORY}
        values = table | {name: value for name, value in values.items() if name in shared}
    return Namespace(**values | stored | {"said": sorted(stored)})


def _stored_network(method: str, trained: Mapping[str, Any], notes: Path) -> dict[str, Any]:
    """The network a checkpoint of ours holds, complete: one that is older than an option has its default."""
    if not trained:
        return {}
    refuse_network_of_others(trained, method, notes)
    defaults = {name: option.default for name, option in network_options(method).items()}
    return checked_network(defaults | trained, notes, method)


def refuse_network_of_others(trained: Mapping[str, Any], method: str, notes: Path) -> None:
    """Check that a checkpoint was not made with an option that shapes the networks of another method alone.

    Raises:
        UserError: naming the option and a method that has it.
    """
    own = network_options(method)
    for other in METHODS:
        for name, option in network_options(other).items():
            if name not in own and trained.get(name, option.default) != option.default:
                made = f"{notes}: made with {option.flag} {trained[name]}"
                raise UserError(f"{made}, an option of --method {other}; pass --method {other}")


def checked_network(values: Mapping[str, Any], where: Path, method: str) -> dict[str, Any]:
    """Of what a file says, the options of the network of this method.

    Raises:
        UserError: naming the file and the option whose value is not allowed.
    """
    return {
        name: checked(option, values[name], f"{where}: {name}")
        for name, option in network_options(method).items()
        if name in values
    }


def adopt(args: Namespace, told: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Let `args` say what a file tells of its network and of the size it was trained at, where nobody said otherwise.

    Returns: what changed, by name of option.

    Raises:
        UserError: naming the file and the option whose value is not allowed.
    """
    values = checked_network(told, where, args.method)
    for option in options_of(args.command, args.method):
        if option.follows in told and args.command != "train":  # whose validation has a size of its own
            values[option.name] = checked(option, told[option.follows], f"{where}: {option.follows}")
    changed = {name: value for name, value in values.items() if name not in args.said and getattr(args, name) != value}
    vars(args).update(changed)
    return changed
