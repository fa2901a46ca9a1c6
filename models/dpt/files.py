"""Where weight files of DPT come from, and what is known about the published ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from errors import UserError, closest
from models.teacher import Habits
from storage import safe
from storage.catalogue import MODELS
from storage.published import hash_in, obtain, sha256


@dataclass(frozen=True)
class Official:
    """A file of storage/models.toml. `scale` and `shift` bring its output to 1/m, where it was fine-tuned to metres."""

    name: str
    variant: str
    habits: Habits = Habits()
    scale: float = 1.0
    shift: float = 0.0

    @property
    def file(self) -> str:
        """What it is called."""
        return MODELS[self.name].file

    @property
    def hash(self) -> str:
        """First digits of the file's SHA-256, which torch's convention puts into its name."""
        return hash_in(self.file)

    @property
    def path(self) -> Path:
        """Where torch keeps downloaded weights."""
        return MODELS[self.name].place


OFFICIAL = {
    "dpt-hybrid": Official("dpt-hybrid", "hybrid"),
    "dpt-large": Official("dpt-large", "large"),
    "dpt-hybrid-kitti": Official(
        "dpt-hybrid-kitti",
        "hybrid",
        scale=0.00006016,
        shift=0.00579,
        habits=Habits(target=(352, 1216), metric=True, crop=(352, 1216), farthest=80.0),
    ),
    "dpt-hybrid-nyu": Official(
        "dpt-hybrid-nyu",
        "hybrid",
        scale=0.000305,
        shift=0.1378,
        habits=Habits(target=(480, 640), metric=True, farthest=10.0),
    ),
}


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
    if (path / safe.FILE).is_file():
        path = path / safe.FILE
    if not path.is_file():
        raise UserError(
            f"{name}: neither a weight file nor a known teacher{closest(name, OFFICIAL)}; give the path of "
            f"a file, hf:<id>, or one of {', '.join(OFFICIAL)}"
        )
    digest = sha256(path)
    stem = path.stem.partition("-")[0]
    by_content = [key for key, entry in OFFICIAL.items() if digest.startswith(entry.hash)]
    by_name = [key for key, entry in OFFICIAL.items() if stem == entry.file.partition("-")[0]]
    noted = [safe.notes_in(path).get("published", "")] if safe.is_one(path) else []
    return Weights(path, digest, ([key for key in noted if key in OFFICIAL] + by_content + by_name + [""])[0])


def _official(name: str, fetch: bool) -> Weights:
    entry = OFFICIAL[name]
    return Weights(entry.path, obtain(name, MODELS[name].address, fetch), name)
