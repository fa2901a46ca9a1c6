"""Packages import downwards only, and looking for help costs no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from methods import METHODS

ROOT = Path(__file__).parents[1]
LEVELS = {
    "errors": 0,
    **dict.fromkeys(("perspective_resample", "storage", "street", "presets"), 1),
    **dict.fromkeys(("models", "losses", "dataloader", "evaluation", "visual", "engine"), 2),
    "methods": 3,
    "arguments": 4,
    "state_manager": 5,
    "harness": 6,
    **dict.fromkeys(("train", "eval_depth", "eval_segmentation", "eval_pose", "inference", "export"), 7),
    **dict.fromkeys(("benchmarks", "docs", "hubconf"), 8),
    "app": 9,
}
COMMANDS = ("train.py", "eval_depth.py", "eval_segmentation.py", "eval_pose.py", "inference.py")
FREE = (
    "dataloader/prepare/",
    "dataloader/check",
    "evaluation/compare/",
)  # commands of their own: may import anything, nothing imports them


def sources() -> list[Path]:
    return [
        path
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] in {*LEVELS, *(f"{name}.py" for name in LEVELS)}
    ]


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


SHARED = ("engine.outcome",)  # plain dataclasses that siblings may use


def wrong_directions(path: str, source: str) -> list[str]:
    own = path.split("/")[0].removesuffix(".py")
    wrong = []
    for module in imported(ast.parse(source)):
        other = module.split(".")[0]
        if module.startswith(("dataloader.prepare", "dataloader.check", "evaluation.compare.")) and not path.startswith(
            (*FREE, "benchmarks")
        ):
            wrong.append(f"{path} imports the command {module}")
        elif (
            module not in SHARED
            and other in LEVELS
            and other != own
            and not path.startswith(FREE)
            and LEVELS[other] >= LEVELS[own]
        ):
            wrong.append(f"{path} imports {module}")
    return wrong


def test_nothing_imports_upwards_or_sideways():
    found = sources()
    assert len(found) > 40
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}
    wrong = [line for path, text in texts.items() for line in wrong_directions(path, text)]
    assert not wrong, "\n".join(wrong)


def test_no_file_of_the_product_is_longer_than_400_lines():
    lengths = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


BUILT_ON = {"sgdem": "sgdepth", "bdedepth": "monodepth2"}  # what they share with others has a folder of its own


def test_methods_do_not_need_each_other_but_where_one_is_built_on_another():
    found = set()
    for path in sorted((ROOT / "methods").rglob("*.py")):
        own = path.relative_to(ROOT / "methods").parts[0]
        text = path.read_text(encoding="utf-8").replace("from ..", "from methods.")
        names = {
            part
            for name in re.findall(r"(?:from|import) methods\.([\w.]+(?: import \w+)?)", text)
            for part in re.split(r"\W", name)
        }
        found |= {(own, other) for other in names & {*METHODS} - {own}}
    assert found == {*BUILT_ON.items()}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("losses/depth.py", "import models"),
        ("models/sgdepth.py", "from dataloader.batch import Batch"),
        ("perspective_resample/warp.py", "from losses.depth import DepthLoss"),
        ("dataloader/loaders.py", "from dataloader.prepare import kitti"),
        ("state_manager.py", "def late():\n    import harness"),
    ],
)
def test_the_rule_sees_a_wrong_import(path, source):
    assert wrong_directions(path, source)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_torch(command):
    code = f"import sys, runpy; sys.argv = [{command!r}, '--help']\n"
    code += f"try: runpy.run_path({command!r}, run_name='__main__')"
    code += "\nexcept SystemExit as stop: assert stop.code in (0, None)\nassert 'torch' not in sys.modules, 'torch'"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    network = "--model-path" if command == "inference.py" else "--model-load"
    assert network in result.stdout and "--sys-cpu" in result.stdout and "--help-all" in result.stdout


def run_python(*words: str) -> str:
    result = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_help_of_the_measurements_costs_no_torch():
    code = "import sys; sys.modules['torch'] = None  # an import of it fails\n"
    code += "import runpy; sys.argv = ['benchmarks', '--help']; runpy.run_module('benchmarks', run_name='__main__')"
    assert "--gpu" in run_python("-c", code)


UNIX = ("fcntl", "resource", "pwd", "grp", "termios")


def test_no_module_needs_what_only_unix_has(run):
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources()
        if path.name != "__main__.py" and path.relative_to(ROOT).parts[0] not in ("benchmarks", "docs")
    ]
    code = f"""
import importlib, sys
for name in [*sys.modules]:
    if name.split(".")[0] in {[*LEVELS]}:
        del sys.modules[name]
for name in {UNIX}:
    sys.modules[name] = None
for name in {names}:
    importlib.import_module(name)
print(len({names}))
"""
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


@pytest.mark.parametrize("command", [*COMMANDS, "export.py"])
def test_wrong_names_are_told_without_torch(command):
    words = [command, "--model-path" if command in ("inference.py", "export.py") else "--model-load", "nowhere"]
    code = f"import sys, runpy; sys.argv = {words!r}\n"
    code += f"try: runpy.run_path({command!r}, run_name='__main__')"
    code += "\nexcept SystemExit as stop: assert stop.code == 2\nassert 'torch' not in sys.modules, 'torch'"
    run_python("-c", code)
