"""What surrounds the code: the site of documents, the tour, the container, tests of a server, how to cite."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from docs import notebook, site
from tests.conftest import ROOT, Run


def build(folder: Path, **changes: Any) -> None:
    """Build the site strictly, in this process."""
    from mkdocs.commands.build import build as build_site
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True, **changes)
    config.plugins.on_startup(command="build", dirty=False)
    build_site(config)


def test_the_site_has_every_document_and_no_link_that_leads_nowhere(tmp_path, monkeypatch):
    pytest.importorskip("mkdocs", reason="mkdocs is an extra: pip install mkdocs")

    build(tmp_path / "site")
    pages = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert pages > {"index", "contributing", "changelog", "tour"} | {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert "data:image/png;base64" in (tmp_path / "site" / "tour.html").read_text()
    assert (tmp_path / "site/files/evaluation/protocols.py").is_file()
    assert not list((tmp_path / "site").glob("*.py"))
    home = (tmp_path / "site" / "index.html").read_text()
    assert 'href="commands.html#inferencepy"' in home and 'href="files/LICENSE"' in home


def test_the_site_is_not_built_with_links_that_lead_nowhere(tmp_path, caplog):
    pytest.importorskip("mkdocs", reason="mkdocs is an extra: pip install mkdocs")
    from mkdocs.exceptions import Abort

    documents = shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (documents / "questions.md").open("a") as file:
        file.write("\n[a](nowhere.md) [b](commands.md#nowhere) [c](../evaluation/nowhere.py) [d](/absolute.md)\n")
    with pytest.raises(Abort, match="4 warnings"):
        build(tmp_path / "site", docs_dir=str(documents))
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert all(link in told for link in ("nowhere.md", "commands.md#nowhere", "nowhere.py", "/absolute.md"))


def test_links_of_a_page_lead_where_they_lead_in_the_repository():
    text = "[a](../LICENSE) [b](../models) ![c](street.png) [d](commands.md#x) [e](https://x.y) [f](#x) [g](tour.ipynb)"
    wanted = "[a](files/LICENSE) b ![c](street.png) [d](commands.md#x) [e](https://x.y) [f](#x) [g](tour.md)"
    assert site.linked(text, "docs/data.md") == wanted
    assert site.linked("[a](README.md#speed) [b](../docs/data.md)", "benchmarks/README.md") == (
        "[a](benchmarks.md#speed) [b](data.md)"
    )


def shape(outputs: list[dict[str, Any]]) -> list[Any]:
    """What outputs say, whatever the numbers are, and whether there are pictures."""
    told = []
    for output in outputs:
        text = "".join(output.get("text", ()))
        lines = [line for line in text.splitlines() if not line.startswith(("epoch ", "Wrote to"))]  # with times
        told.append(re.sub(r"-?\d+(\.\d+)?", "0", re.sub(" +", " ", "\n".join(lines))))
        told.append(sorted(output.get("data", ())))
    return told


@pytest.mark.usefixtures("thin_here")
def test_the_tour_shows_what_its_cells_do(run: Run, monkeypatch):
    def run_warm(words: list[str], cwd: Path, env: dict[str, str], **_: object) -> SimpleNamespace:
        return run(*words[1:], env={name: env[name] for name in ("IFN_DIR_DATASET", "IFN_DIR_CHECKPOINT")}, cwd=cwd)

    kept = json.loads(notebook.TOUR.read_text(encoding="utf-8"))
    monkeypatch.chdir(ROOT / "docs")
    monkeypatch.setattr(subprocess, "run", run_warm)
    done = notebook.executed(kept)
    cells = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    again = [cell for cell in done["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    for cell, new in zip(cells, again, strict=True):
        assert shape(cell["outputs"]) == shape(new["outputs"]), "".join(cell["source"])
    pictures = [output["data"]["image/png"] for cell in cells for output in cell["outputs"] if "data" in output]
    assert len(pictures) >= 2 and min(map(len, pictures)) > 5000


def test_a_cell_that_fails_ends_the_tour():
    cell = {"cell_type": "code", "source": ["print('a')\n", "1 / 0"]}
    with pytest.raises(ZeroDivisionError):
        notebook.executed({"cells": [cell]})
    (done,) = notebook.executed({"cells": [cell | {"source": ["x = 2\n", "print('a')\n", "x"]}]})["cells"]
    assert done["outputs"][0]["text"] == ["a\n"] and done["outputs"][1]["data"] == {"text/plain": ["2"]}


def test_a_server_tests_the_oldest_and_the_newest_versions_as_everybody_does():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["strategy"]["matrix"]["versions"] == ["oldest", "newest"]
    lines = [step.get("run", "") for step in job["steps"]]
    assert "make test" in lines and workflow["jobs"]["docs"]["steps"][-1]["run"] == "make docs-site"
    (held,) = [line for line in lines if "sed" in line]
    done = subprocess.run(
        ["sh", "-c", held.splitlines()[0].split(" > ")[0]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert done.stdout.split() == [line.replace(">=", "==") + ".*" for line in wanted]
    python = {step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")}
    assert python == {tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"][2:]}


def test_the_container_is_for_two_devices_and_not_root():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    words = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    users = [rest for word, rest in words if word == "USER"]
    assert users and users[-1] not in ("root", "0")
    assert ["ARG", "DEVICE=cpu"] in words and "cpu|gpu" in " ".join(lines)
    kinds = [word for word, _ in words]
    assert kinds.index("USER") > max(place for place, kind in enumerate(kinds) if kind in ("RUN", "COPY"))
    (script,) = json.loads(dict(words)["CMD"])[:1]
    assert (ROOT / script).is_file() and dict(words)["ENTRYPOINT"] == '["python"]'
    assert {".git", ".venv"} <= {*(ROOT / ".dockerignore").read_text(encoding="utf-8").split()}


@pytest.mark.parametrize(("device", "code"), [("cpu", 0), ("gpu", 0), ("tpu", 2)])
def test_the_container_is_built_for_known_devices_only(device, code):
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (check,) = re.findall(r"^RUN (case .*)$", text, re.MULTILINE)
    assert subprocess.run(["sh", "-c", check], env={"DEVICE": device}, stderr=subprocess.DEVNULL).returncode == code


def test_the_citation_is_of_this_version_under_this_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors", "type"} <= set(citation)
    assert (citation["version"], citation["license"]) == (project["version"], project["license"]["text"])
    cited = (ROOT / "README.md").read_text(encoding="utf-8").replace("{", "").replace("}", "")
    assert citation["references"] and all(work["title"] in cited for work in citation["references"])
