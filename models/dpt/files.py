"""Where weight files of DPT come from, and what is known about the published ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from errors import UserError, closest
from models.download import download
from models.teacher import Habits

ADDRESS = "https://github.com/intel-isl/DPT/releases/download/1_0/"


@dataclass(frozen=True)
class Official:
    """A published file. `scale` and `shift` bring its output to 1/m, where it was fine-tuned to metres."""

    file: str
    variant: str
    habits: Habits = Habits()
    scale: float = 1.0
    shift: float = 0.0

    @property
    def hash(self) -> str:
        """First digits of the file's SHA-256, which torch's convention puts into its name."""
        return self.file.removesuffix(".pt").rpartition("-")[2]

    @property
    def path(self) -> Path:
        """Where torch keeps downloaded weights."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file


OFFICIAL = {
    "dpt-hybrid": Official("dpt_hybrid-midas-501f0c75.pt", "hybrid"),
    "dpt-large": Official("dpt_large-midas-2f21e586.pt", "large"),
    "dpt-hybrid-kitti": Official("dpt_hybrid_kitti-cb926ef4.pt", "hybrid", scale=0.00006016, shift=0.00579,
                                 habits=Habits(target=(352, 1216), metric=True, crop=(352, 1216))),
    "dpt-hybrid-nyu": Official("dpt_hybrid_nyu-2ce69ec7.pt", "hybrid", scale=0.000305, shift=0.1378,
                               habits=Habits(target=(480, 640), metric=True)),
}  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """A file at hand; `name` is that of a published file where its name or its content says so, else ""."""

    path: Path
    sha256: str
    name: str

    @property
    def identity(self) -> dict[str, str]:
        """What tells these weights from others, wherever the file lies."""
        return {"name": self.name or self.path.name, "sha256": self.sha256}


def find(name: str, fetch: bool = False) -> Weights:
    """File of a teacher.

    name:  key of `OFFICIAL`, or path of a weight file
    fetch: download a published file that is missing

    Raises:
        UserError: when it is not there, cannot be fetched, or is not the published one though its name says so.
    """
    if name in OFFICIAL:
        return _official(name, fetch)
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name}: neither a weight file nor a known teacher{closest(name, OFFICIAL)}; give the path of "
                        f"a file, hf:<id>, or one of {', '.join(OFFICIAL)}")  # fmt: skip
    digest = sha256(path)
    stem = path.stem.partition("-")[0]
    by_content = [key for key, entry in OFFICIAL.items() if digest.startswith(entry.hash)]
    by_name = [key for key, entry in OFFICIAL.items() if stem == entry.file.partition("-")[0]]
    return Weights(path, digest, (by_content + by_name + [""])[0])


def identity(name: str) -> dict[str, str]:
    """Name and SHA-256 without loading anything; of published files the first digits, which need no file."""
    if name in OFFICIAL:
        return {"name": name, "sha256": OFFICIAL[name].hash}
    return find(name).identity


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of a weight file") from None


def _official(name: str, fetch: bool) -> Weights:
    entry = OFFICIAL[name]
    fetched = not entry.path.is_file() and fetch
    if fetched:
        _download(name, entry)
    if not entry.path.is_file():
        raise UserError(f"{name}: {entry.path} is not there; download {ADDRESS}{entry.file} and put it there")
    digest = sha256(entry.path)
    if not digest.startswith(entry.hash):
        remedy = "run again to fetch it anew" if fetched else f"delete it and download {ADDRESS}{entry.file} again"
        if fetched:
            entry.path.unlink()
        raise UserError(f"{entry.path}: damaged or not the published file (its SHA-256 begins with {digest[:8]}, not "
                        f"{entry.hash}); {remedy}")  # fmt: skip
    return Weights(entry.path, digest, name)


def _download(name: str, entry: Official) -> None:
    try:
        download(ADDRESS + entry.file, entry.path, attempts=3)
    except UserError as error:
        reason = str(error).partition("; ")[0]
        raise UserError(f"{name}: {reason}; download the file elsewhere and put it there as {entry.path}") from None
