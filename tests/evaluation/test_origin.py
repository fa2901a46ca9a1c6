"""What metrics.json tells of the network and the program."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from evaluation import origin
from storage.catalogue import hub_files
from storage.published import digest_of, identity_of


@pytest.fixture
def code(tmp_path, monkeypatch) -> Path:
    """A folder with code of its own."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "here"\nversion = "1.2"\n')
    monkeypatch.setattr(origin, "ROOT", folder)
    origin.revision.cache_clear()
    yield folder
    origin.revision.cache_clear()


def git(folder: Path, *words: str) -> str:
    names = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *names, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def revision() -> dict[str, object]:
    origin.revision.cache_clear()
    return origin.revision()


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_revision_is_that_of_the_code_and_says_whether_it_was_changed(code, monkeypatch):
    assert revision() == {}
    git(code, "init", "-q")
    git(code, "add", ".")
    git(code, "commit", "-qm", "one")
    commit = git(code, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # of a hook that runs us
    assert revision() == {"revision": commit, "dirty": False} and re.fullmatch("[0-9a-f]{40}", commit)
    (code / "notes.txt").write_text("not tracked")
    assert not revision()["dirty"]
    (code / "pyproject.toml").write_text('[project]\nname = "here"\nversion = "1.3"\n')
    assert revision() == {"revision": commit, "dirty": True}


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_repository_of_something_else_around_the_code_is_none_of_it(code):
    git(code.parent, "init", "-q")
    git(code.parent, "commit", "-q", "--allow-empty", "-m", "one")
    assert revision() == {}


def test_without_git_nothing_is_said_of_a_revision(code, monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert revision() == {}


def test_the_hash_is_that_of_the_file_and_of_several_that_of_their_list(tmp_path):
    files = [tmp_path / name for name in ("encoder.pth", "depth.pth")]
    for file in files:
        file.write_bytes(file.name.encode())
    hashes = {file.name: hashlib.sha256(file.name.encode()).hexdigest() for file in files}
    assert digest_of(files[:1]) == hashes["encoder.pth"]
    listed = "".join(f"{hashes[name]}  {name}\n" for name in ("depth.pth", "encoder.pth"))
    assert digest_of(files) == hashlib.sha256(listed.encode()).hexdigest()
    assert identity_of(tmp_path)["sha256"] == digest_of(files)  # teachers are told apart by the same
    told = origin.origin("", files, "python eval_depth.py")
    assert (told["checkpoint"], told["files"]) == (str(tmp_path), ["depth.pth", "encoder.pth"])
    assert origin.origin("", files[:1], "")["checkpoint"] == str(files[0])


def test_a_network_that_has_no_file_is_told_by_its_name(code):
    told = origin.origin("hf:some/model", (), "python eval_depth.py --method dpt")
    assert (told["checkpoint"], told["command"]) == ("hf:some/model", "python eval_depth.py --method dpt")
    assert told["versions"]["here"] == "1.2" and not {"sha256", "files", "revision", "dirty"} & {*told}
    assert origin.origin("dpt-hybrid", (), "", digest="12" * 32)["sha256"] == "12" * 32


def test_weights_of_the_hub_are_those_fetched_last(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert hub_files("hf:some/model") == ()
    kept = tmp_path / "models--some--model"
    for name in ("refs/main", "snapshots/old/model.safetensors", "snapshots/new/model.safetensors"):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text("new\n")
    assert hub_files("hf:some/model") == (kept / "snapshots/new/model.safetensors",)
    assert hub_files(f"hf:{kept / 'snapshots/old'}") == (kept / "snapshots/old/model.safetensors",)
