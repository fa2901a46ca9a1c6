"""Published networks by name, from models.toml: where they come from and whether they are at hand. Imports no torch."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HUB = "hf:"
"""How names of networks of the Hugging Face hub begin."""


@dataclass(frozen=True)
class Published:
    """A network that somebody offers; models.toml says what its fields mean."""

    name: str
    method: str
    about: str
    licence: str
    address: str = ""
    page: str = ""
    file: str = ""
    md5: str = ""
    bytes: int = 0
    numbers: str = ""
    files: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """File or folder where it is kept."""
        return hub_folder(self.name) if self.name.startswith(HUB) else place(self.file)

    @property
    def is_archive(self) -> bool:
        """Whether a zip archive is offered, whose files become a folder."""
        return self.address.endswith(".zip")

    @property
    def is_at_hand(self) -> bool:
        """Whether its file, or for a folder every file that depth needs, is there."""
        needed = ("snapshots/*/config.json",) if self.name.startswith(HUB) else self.files
        return all(any(self.place.glob(pattern)) for pattern in needed) if needed else self.place.is_file()

    @property
    def size(self) -> str:
        """Bytes in words, "" where not known."""
        return f"{self.bytes / 1e9:.1f} GB" if self.bytes >= 1e9 else f"{self.bytes // 10**6} MB" if self.bytes else ""


def _read() -> dict[str, Published]:
    with Path(__file__).with_name("models.toml").open("rb") as file:
        rows = tomllib.load(file)["model"]
    return {row["name"]: Published(**row | {"files": tuple(row.get("files", ()))}) for row in rows}


MODELS = _read()


def place(file: str) -> Path:
    """Where torch keeps downloaded weights."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints" / file


def hub_folder(name: str) -> Path:
    """Where the Hugging Face hub keeps ``hf:<id>``."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return cache.expanduser() / f"models--{name.removeprefix(HUB).replace('/', '--')}"


def hub_files(name: str) -> tuple[Path, ...]:
    """Weight files of ``hf:<id>`` as fetched last, or of ``hf:<folder>``; () where none is at hand."""
    folder = Path(name.removeprefix(HUB))
    newest = hub_folder(name) / "refs" / "main"
    if not folder.is_dir() and newest.is_file():
        folder = hub_folder(name) / "snapshots" / newest.read_text(encoding="utf-8").strip()
    return tuple(sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin")))


def method_of(name: str) -> str:
    """Method of a network by its name; "" where the text is no name but, for example, a path that exists."""
    if not name or os.path.exists(name):
        return ""
    if name.startswith(HUB):
        return "dpt"
    return MODELS[name].method if name in MODELS else ""


def is_name(text: str) -> bool:
    """Whether a text has the form of a name with a source before a colon, known or not."""
    source = text.partition(":")[0]
    return (
        text in MODELS or text.startswith(HUB) or any(name.startswith(f"{source}:") for name in MODELS if ":" in text)
    )
