"""Where numbers come from, for metrics.json: the files of the network, versions, the revision of this code."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from storage.published import digest_of

ROOT = Path(__file__).parents[1]
PATIENCE = 30  # seconds for git
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # variables that name the repository of somebody else


def origin(name: str, files: Sequence[Path], command: str, digest: str = "") -> dict[str, Any]:
    """What metrics.json tells of a network and of the program that judged it.

    name:    what the network is called; "" for where its files lie
    files:   that hold it, where they are known
    command: what was typed
    digest:  SHA-256 of its file, where that is known; "" to compute it

    Returns: `checkpoint`, its `sha256` (see `digest_of`), the names of its `files`, `versions`, `command`; inside a git
    repository `revision` and `dirty`.
    """
    told: dict[str, Any] = {"checkpoint": name or _place(files)}
    if digest or files:
        told["sha256"] = digest or digest_of(files)
    if files:
        told["files"] = sorted(path.name for path in files)
    return told | {"versions": versions(), **revision(), "command": command}


def _place(files: Sequence[Path]) -> str:
    """The checkpoint folder, the weight file, or the folder of several."""
    folders = {path.absolute().parent for path in files}
    alone = len(files) == 1 and files[0].name != "model.pth"
    return str(files[0].absolute() if alone or len(folders) > 1 else folders.pop())


def versions() -> dict[str, str]:
    """Of what computed the numbers."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        project["name"]: project["version"],
    }


@cache
def revision() -> dict[str, Any]:
    """Commit of this code, and whether its tracked files differ from it; {} where it is in no git repository."""
    try:
        _git("ls-files", "--error-unmatch", "pyproject.toml")  # a copy may lie inside a repository of something else
        return {
            "revision": _git("rev-parse", "HEAD"),
            "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".")),
        }
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(*words: str) -> str:
    """What git says of the folder of this code."""
    surroundings = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words],
        env=surroundings | {"GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PATIENCE,
        check=True,
    )
    return done.stdout.strip()
