"""Tables of the program as Markdown: methods, options, loaders, published networks and results.

A document asks for one between two comment lines, ``<!-- generated: NAME -->`` and ``<!-- end of generated -->``;
NAME is a key of `PARTS`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import arguments
from dataloader.catalog import DATASETS, LOADERS, LoaderSpec
from errors import UserError, closest
from evaluation.protocols import DEPTH_PROTOCOLS
from methods import METHODS, NAMES
from presets.app import APP
from presets.foreign import REPOSITORIES, meanings
from presets.option import Option
from presets.parser import markdown_table
from presets.resume import MEANING, called, rules
from storage.catalogue import HUB, MODELS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results.csv"
MOST_USED = (
    "--dataset-dir",
    "--checkpoint-dir",
    "--experiment-class",
    "--model-name",
    "--model-load",
    "--resume",
    "--method",
    "--model-num-layers",
    "--depth-training-loaders",
    "--depth-training-batch-size",
    "--segmentation-training-loaders",
    "--segmentation-training-batch-size",
    "--train-num-epochs",
    "--train-batches-per-epoch",
    "--train-learning-rate",
    "--train-weights-init",
    "--train-precision",
    "--masking-enable",
    "--patch-distill",
    "--patch-teacher",
    "--depth-validation-loaders",
    "--depth-gt",
    "--eval-num-images",
    "--save-arrays",
    "--sys-cpu",
    "--sys-num-workers",
    "--sys-seed",
)
_FLAG = re.compile(r"--[a-z][a-z-]*")
_PART = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end of generated -->)", re.DOTALL)


def documents() -> list[Path]:
    """README.md, CHANGELOG.md, CONTRIBUTING.md and everything in docs."""
    named = (ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING"))
    return [*named, *sorted((ROOT / "docs").glob("*.md"))]


def renewed(text: str, where: str) -> str:
    """The text of a document with its generated parts made anew; `where` names it in errors.

    Raises:
        UserError: when a part asks for a table that does not exist.
    """

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in PARTS:
            raise UserError(f"{where}: no table {name!r}{closest(name, PARTS)}; choose from {', '.join(PARTS)}")
        return f"{match[1]}\n{PARTS[name]().strip()}\n\n{match[3]}"

    return _PART.sub(part, text)


def most_used_options() -> str:
    """The options most people need, in one table."""
    options: dict[str, Option] = {}
    for command in arguments.COMMANDS:  # training first: its defaults are shown where commands differ
        for option in arguments.options_of(command):
            options.setdefault(option.flag, option)
    return markdown_table(options[flag] for flag in MOST_USED)


def options_of_the_page() -> str:
    """What networks the page offers, where it listens, and what may be uploaded."""
    return markdown_table(option for _, options in APP for option in options)


def methods() -> str:
    """What can be chosen by ``--method``, what can be done with it, and what could not as it was published."""
    uses = {"train": "train", "eval_depth": "evaluate", "inference": "infer"}
    rows = []
    for name in NAMES:
        method = METHODS[name]
        default = " (default)" if name == NAMES[0] else ""
        known = ", ".join(use for command, use in uses.items() if command in method.options)
        rows.append([f"`{name}`{default}", method.about, ", ".join(method.tasks), known, method.broken or "-"])
    return _table(["`--method`", "system", "gives", "can", "broken as published, works here"], rows)


def all_options() -> str:
    """Every option under the title of its group, with the commands and methods that know it."""
    groups: dict[str, dict[Option, dict[str, list[str]]]] = {}
    for command in arguments.COMMANDS:
        for method in arguments.methods_of(command):
            for title, options in arguments.groups_of(command, method):
                for option in options:
                    groups.setdefault(title, {}).setdefault(option, {}).setdefault(command, []).append(method)
    lines = []
    for title, known in groups.items():
        lines.append(f"## {title[0].upper()}{title[1:]}\n")
        places = {option: _known_to(commands) for option, commands in known.items()}
        for place in dict.fromkeys(places.values()):
            table = markdown_table(option for option, other in places.items() if other == place)
            lines.append(f"Known to {place}.\n\n{table}")
    return "\n".join(lines)


def _known_to(commands: dict[str, list[str]]) -> str:
    """Which commands know an option, and with which methods, in words; `commands` has the methods by command."""
    every = len(commands) == len(arguments.COMMANDS)
    where = "every command" if every else ", ".join(f"`{command}.py`" for command in commands)
    if all(known == arguments.methods_of(command) for command, known in commands.items()):
        return where
    names = dict.fromkeys(name for known in commands.values() for name in known)
    return f"{where} with {', '.join(f'`--method {name}`' for name in names)}"


def rules_of_resume() -> str:
    """What becomes of each option of training where a run goes on with another value."""
    rows = []
    for rule, names in rules(arguments.options_of("train")).items():
        rows.append([rule, MEANING[rule], ", ".join(f"`{called(name)}`" for name in names)])
    return _table(["another value is", "which means", "options"], rows)


def loaders() -> str:
    """Names for the options ``--<purpose>-training-loaders`` and ``--<purpose>-validation-loaders``."""
    rows = []
    for spec in LOADERS.values():
        flag = f"`--{spec.purpose}-{'training' if spec.training else 'validation'}-loaders`"
        rows.append([f"`{spec.name}`", flag, _reads(spec), f"`{spec.domain}`", _judged_on(spec)])
    return _table(["loader", "option", "reads", "called in tables and files", "judged on"], rows)


def _reads(spec: LoaderSpec) -> str:
    if spec.dataset == "folder":
        return "`--data-folder`"
    if spec.truth == "server":
        return "`depth_selection`"
    folder = f"{spec.dataset}_{spec.split}_split" if spec.dataset == "kitti" else DATASETS[spec.dataset].folder
    cameras = ", both cameras" if len(spec.cameras) > 1 else ""
    split = f" ({spec.split})" if spec.split and spec.dataset != "kitti" else ""
    filled = ", depth without gaps" if spec.truth == "dense" else ""
    return f"`{folder}`, {spec.part}{split}{cameras}{filled}"


def _judged_on(spec: LoaderSpec) -> str:
    if spec.truth == "neighbours":
        return "how far the frames before and after explain a frame, in training"
    if not spec.protocol:
        return ""
    row = DEPTH_PROTOCOLS[spec.protocol]
    crop = "no crop" if row.crop == "none" else f"{row.crop[0].upper()}{row.crop[1:]} crop"
    if spec.truth == "server":
        return f"a server, predictions up to {row.clamp[1]:g} m"
    reach = f"truth up to {row.maximum:g} m" if row.maximum < 1e9 else "all truth"
    return f"{crop}, {reach}, predictions up to {row.clamp[1]:g} m"


def published_networks() -> str:
    """Every network that has a name: licence, size, published numbers, where it comes from and where it is kept."""
    rows = []
    for entry in MODELS.values():
        source = f"[file]({entry.address})" if entry.address else f"[page]({entry.page})"
        if entry.name.startswith(HUB):
            place = "folder of the Hugging Face hub"
        else:
            place = f"`{entry.file}{'/' if entry.files else ''}`"
            if entry.files and not entry.is_archive:
                place += f" with {' and '.join(f'`{name}`' for name in entry.files)}"
        about = f"{entry.about}{f'; {entry.numbers}' if entry.numbers else ''}"
        check = f"MD5 `{entry.md5}`" if entry.md5 else "SHA-256 in its name" if entry.address else ""
        rows.append([f"`{entry.name}`", about, entry.licence, source, entry.size, place, check])
    return _table(["name", "trained on, says; Abs Rel, a1", "licence", "from", "size", "kept as", "checked by"], rows)


def foreign_flags() -> str:
    """What flags of other repositories are called here, those of systems that are here first."""
    rows = []
    for names, here, values in sorted(
        meanings(), key=lambda each: not any(each.names[name] for name in REPOSITORIES[:-1])
    ):
        told = _FLAG.sub(r"`\g<0>`", _together(here))
        shown = ", ".join(f"`{theirs}` is {_coded(ours)}" for theirs, ours in values.items())
        there = (", ".join(f"`{flag}`" for flag in names[repository]) for repository in REPOSITORIES)
        rows.append([*there, f"{told} ({shown})" if shown else told])
    return _table(["Monodepth2", "BDEdepth", "others", "here"], rows)


def _together(sentences: Sequence[str]) -> str:
    """Sentences as one; those that differ by the flag alone give it alone."""
    told = sentences[0]
    for before, sentence in pairwise(sentences):
        start, _, flag = sentence.partition(" --")
        told += f" or --{flag}" if before.startswith(f"{start} --") else f"; {sentence}"
    return told


def _coded(words: str) -> str:
    """Words of a value, in code where they are a name."""
    return words if " " in words else f"`{words}`"


def all_results() -> str:
    """Published results, one table per data set."""
    rows = _results()
    datasets = dict.fromkeys(row["data set"] for row in rows)
    return "\n".join(f"## {name}\n\n{_in_columns(row for row in rows if row['data set'] == name)}" for name in datasets)


def _results() -> list[dict[str, str]]:
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _in_columns(rows: Iterable[dict[str, str]]) -> str:
    """Rows of one data set, without the columns that none of them fills."""
    rows = list(rows)
    used = [name for name in rows[0] if name != "data set" and any(row[name] for row in rows)]
    return _table(used, [[row[name] for name in used] for row in rows])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "methods": methods,
    "most used options": most_used_options,
    "all options": all_options,
    "options of the page": options_of_the_page,
    "rules of resume": rules_of_resume,
    "loaders": loaders,
    "flags of other repositories": foreign_flags,
    "all results": all_results,
    "published networks": published_networks,
}
