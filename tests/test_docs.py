"""README and docs say what the program does: generated parts, commands, options, names, links, snippets."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import re
import shlex
import tomllib
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest

import app
import arguments
from dataloader.catalog import LOADERS
from dataloader.check.__main__ import make_parser
from dataloader.prepare import __main__ as prepare
from docs import generate
from errors import UserError
from evaluation.compare import __main__ as compare
from evaluation.depth import METRICS
from methods import METHODS
from tests.commands import write_checkpoint

ROOT = generate.ROOT
COMMANDS = [f"{name}.py" for name in arguments.COMMANDS]
TORCHRUN = {"--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint", "--shutdown-timeout"}
FOREIGN = {"--logdir", "--help", "--help-all", "--no-golden", "--index-url"} | TORCHRUN  # TensorBoard, tests, pip
ANSWERED = {"--lr", "--epochs"}  # flags of other repositories, which documents name as such
DOCUMENTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in generate.documents()}


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def documented(program: str) -> list[tuple[str, list[str]]]:
    """(document, words after the program) of every line in a shell block, and of inline code."""
    found = []
    for name, text in DOCUMENTS.items():
        lines = "".join(code_blocks(text, "bash")).replace("\\\n", " ").splitlines()
        lines += [match for match in re.findall(r"`([^`\n]+)`", text) if "..." not in match]
        for line in lines:
            for part in line.split("&&"):
                words = shlex.split(part, comments=True) if part.strip().startswith(program) else []
                if words[: len(program.split())] == program.split():
                    found.append((name, words[len(program.split()) :]))
    return found


def known_flags() -> set[str]:
    options = [option for command in arguments.COMMANDS for option in arguments.options_of(command)]
    flags = {"--config", *(flag for option in options for flag in (option.flag, *option.also))}
    flags |= {f"--no-{option.flag[2:]}" for option in options if isinstance(option.default, bool)}
    flags |= {option.flag for _, options in app.GROUPS for option in options}
    parsers = [make_parser(), compare.make_parser(), *(ArgumentParser() for _ in prepare.COMMANDS)]
    for command, parser in zip(prepare.COMMANDS, parsers[2:], strict=True):
        prepare.module_of(command).add_arguments(parser)
    return flags | set(re.findall(r"--[a-z-]+", "".join(parser.format_usage() for parser in parsers)))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_generated_parts_are_fresh(name):
    assert generate.renewed(DOCUMENTS[name], name) == DOCUMENTS[name], f"{name} is stale; run make docs"


def test_every_table_is_used_and_an_unknown_one_is_refused():
    text = "\n".join(DOCUMENTS.values())
    assert all(f"<!-- generated: {name} -->" in text for name in generate.PARTS)
    with pytest.raises(UserError, match="closest: loaders"):
        generate.renewed("<!-- generated: loader -->\n<!-- end of generated -->", "x.md")


def test_a_new_table_replaces_the_old_one_and_nothing_else():
    text = "above\n<!-- generated: loaders -->\nold\n<!-- end of generated -->\nbelow\n"
    new = generate.renewed(text, "x.md")
    assert new.startswith("above\n") and new.endswith("\nbelow\n") and "\nold\n" not in new and "kitti_zhou_test" in new
    assert generate.renewed(new, "x.md") == new


def test_systems_are_trained_judged_and_used_and_say_what_was_broken():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in generate.methods().splitlines()[2:]]
    trained = {row[0].split("`")[1]: row for row in rows if METHODS[row[0].split("`")[1]].trained}
    assert set(trained) == {name for name, method in METHODS.items() if method.trained} and len(trained) >= 7
    section = DOCUMENTS["docs/methods.md"].split("\n## As published\n")[1]
    for name, (*_, uses, broken) in trained.items():
        assert uses == "train, evaluate, infer" and len(broken) > 20
        assert f"| {METHODS[name].about.split(' (')[0].split(':')[0]} |" in section


def test_the_list_of_options_is_whole():
    flags = {option.flag for command in arguments.COMMANDS for option in arguments.options_of(command)}
    assert flags == set(re.findall(r"^\| `(--[a-z-]+)`", DOCUMENTS["docs/flags.md"], re.MULTILINE))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_option_named_exists(name):
    known = known_flags() | FOREIGN | ANSWERED
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*\*?", DOCUMENTS[name]):
        stem = flag.rstrip("*")
        fits = any(other.startswith(stem) for other in known) if stem.endswith("-") else stem in known
        assert fits, f"{name} names {flag}, which no command has"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_training_evaluation_and_inference_command_parses(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = documented(f"python {command}")
    assert any(name == "README.md" for name, _ in found)
    for name, words in found:
        places = [index + 1 for index, word in enumerate(words) if word == "--config"]
        for place in places:  # opt.json of a run that exists only in the text
            assert Path(words[place]).is_file() or words[place].endswith("/opt.json"), f"{name}: {words[place]}"
            words[place] = words[place] if Path(words[place]).is_file() else "presets/sgdepth.toml"
        if {"--help", "--help-all"} & {*words}:
            continue
        args = arguments.parse(command.removesuffix(".py"), words)
        for option, loaders in vars(args).items():
            purpose = option.split("_")[0]
            assert not option.endswith("_loaders") or all((purpose, loader) in LOADERS for loader in loaders)


def test_every_data_command_parses():
    prepared = [words for _, words in documented("python -m dataloader.prepare") if words]
    assert {words[0] for words in prepared} == set(prepare.COMMANDS)
    for words in prepared:
        if words not in (
            ["cache"],
            ["teacher-cache"],
            ["cityscapes-triplets"],
            ["frames"],
        ):  # the name alone, in a sentence
            prepare.parse(words)
    for _, words in documented("python -m dataloader.check"):
        if words:
            names = make_parser().parse_args(words).loaders
            assert all(any(spec.name == name for spec in LOADERS.values()) for name in names), names


def test_every_comparison_parses():
    found = [words for _, words in documented("python -m evaluation.compare") if words]
    assert found and all(len(compare.make_parser().parse_args(words).runs) >= 2 for words in found)


def test_every_line_that_opens_the_page_parses():
    found = [words for _, words in documented("python app.py") if words]
    assert found and all(app.parse("app", words) for words in found)


def test_make_targets_and_variables_exist():
    makefile = (ROOT / "Makefile").read_text()
    for name, words in documented("make"):
        for word in words:
            target, sign, _ = word.partition("=")
            definition = rf"^{target}\s*\?=" if sign else rf"^{target}:"
            assert re.search(definition, makefile, re.MULTILINE), f"{name}: make {word}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_loaders_files_and_modules_named_exist(name):
    text = DOCUMENTS[name]
    loaders = {spec.name for spec in LOADERS.values()}
    for word in re.findall(r"\b(?:kitti|cityscapes|folder)\w*_(?:train|validation|test)\b", text):
        assert word in loaders, f"{name} names the loader {word}"
    for word in re.findall(r"[\w/.]+\.(?:py|toml)\b", text):
        bases = (ROOT, ROOT / "docs", ROOT / "methods" / "monodepth2")  # the example of docs/adding_a_method.md
        assert any((base / word).is_file() for base in bases), f"{name} names the file {word}"
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), f"{name} names the module {module}"
    for method in re.findall(r"--method (\w+)", text):
        assert method in METHODS, f"{name} promises --method {method}"


def test_the_readme_stays_short():
    assert len(DOCUMENTS["README.md"].splitlines()) < 300


def test_the_tree_in_the_readme_is_that_of_the_repository():
    tree = DOCUMENTS["README.md"].split("## Repository")[1].split("```")[1]
    named = {word.rstrip("/") for line in tree.splitlines() for word in line.split("  ")[0].split()}
    there = {path.name for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert named == (there | {"presets"}) - {"errors.py"}


def slug(heading: str) -> str:
    """Anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[name]):
        if target.startswith("https://"):
            continue
        place, _, anchor = target.partition("#")
        path = (ROOT / name).parent / place if place else ROOT / name
        assert path.exists(), f"{name} links to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{name} links to {target}, a heading that is not there"


def test_every_result_names_its_source_and_fits_its_columns():
    with generate.RESULTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"method", "model", "data set", "resolution", *METRICS, "source"} <= set(rows[0])
    for row in rows:
        assert row["source"] and None not in row and None not in row.values(), row
        assert 0 < float(row["abs_rel"]) < 0.2 < 0.7 < float(row["a1"]) <= float(row["a2"]) <= float(row["a3"]) < 1, row


def test_the_metrics_shown_in_the_documents_are_those_written():
    (example,) = (json.loads(block) for block in code_blocks(DOCUMENTS["docs/commands.md"], "json"))
    (entry,) = example.values()
    assert set(entry["metrics"]) == {*METRICS, "ratio_median", "ratio_std"}


@pytest.mark.usefixtures("thin_here")
def test_snippets_of_the_cookbook_run(street, tmp_path, run):
    write_checkpoint(tmp_path / "runs" / "sgdepth_eccv_test" / "zhou_full" / "checkpoints" / "epoch_20")
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "0000000001_depth.npy", np.ones((2, 3), np.float32))
    script = "\n".join(code_blocks(DOCUMENTS["docs/cookbook.md"], "python"))
    script = script.replace("/data/sets", str(street)).replace("/data/runs", str(tmp_path / "runs"))
    result = run("-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "IoU of each image" in result.stdout
    assert (tmp_path / "masks.png").stat().st_size > 1000


def test_the_oldest_versions_are_the_same_wherever_they_are_said():
    floors = dict(line.split(">=") for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines())
    oldest = re.search(
        r"the oldest versions that `requirements.txt` admits,(.*?), and with", DOCUMENTS["README.md"], re.S
    )
    said = dict(part.split() for part in oldest.group(1).split(","))
    names = {"PyTorch": "torch", "OpenCV": "opencv-python-headless"}
    assert {names.get(name, name.lower()): version for name, version in said.items()} == floors
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    wanted = re.findall(r"^ +- (?!conda-forge)(.*)", environment, re.M)
    assert wanted == [f"python{python}", "pip", "pip:", "-r requirements.txt"]
    assert f"Python {python.removeprefix('>=')} or newer" in DOCUMENTS["README.md"]
