"""A checkpoint folder on disk: written whole or not at all, compared with what is noted in it, listed, swept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from errors import UserError

from .notes import METADATA

_NAME = re.compile(r"epoch_(\d+)(?:_batch_(\d+))?")


def checkpoints(run_folder: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    folder = run_folder / "checkpoints"
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=order)


def order(folder: Path) -> tuple[int, int]:
    """Finished epochs, and steps of the next one."""
    epoch, batch = _NAME.fullmatch(folder.name).groups(default="0")
    return int(epoch), int(batch)


def verify(folder: Path) -> None:
    """Compare a checkpoint of ours with the sizes and hashes noted in it; others are only looked for.

    Raises:
        UserError: naming the file that is missing or damaged.
    """
    if not (folder / "model.pth").is_file():
        raise UserError(f"{folder}: holds no model.pth; give the folder of a checkpoint, "
                        "such as .../checkpoints/epoch_20, in --model-load")  # fmt: skip
    if not (folder / METADATA).is_file():
        return
    try:
        files = json.loads((folder / METADATA).read_text(encoding="utf-8"))["files"]
        for name, noted in files.items():
            path = folder / Path(name).name
            if not path.is_file() or path.stat().st_size != noted["bytes"] or _hash(path) != noted["sha256"]:
                raise UserError(f"{path}: damaged (size or hash is not what {METADATA} notes); use another checkpoint")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / METADATA}: damaged ({error}); use another checkpoint") from None


def write(folder: Path, parts: dict[str, Any], about: dict[str, Any]) -> None:
    """Write what `parts` say by file name, and `about` with sizes and hashes of the files beside them.

    Raises:
        OSError: when it cannot be written; what was there before stays.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    previous = folder.with_name(f".{folder.name}.{os.getpid()}.old.tmp")
    try:
        temporary.mkdir(parents=True)
        files = {}
        for name, content in parts.items():
            with (temporary / name).open("wb") as file:
                _save(content, file)
            files[name] = {"bytes": (temporary / name).stat().st_size, "sha256": _hash(temporary / name)}
        with (temporary / METADATA).open("w", encoding="utf-8") as file:
            json.dump({**about, "files": files}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        _sync(temporary)
        if folder.exists():
            folder.rename(previous)
        temporary.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)


def _save(content: Any, file: Any) -> None:
    try:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    except RuntimeError as error:  # torch hides the error of the file system
        raise OSError(28, "writing failed; the disk may be full") from error


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sweep(folder: Path) -> None:
    """Remove what a killed writer left; a checkpoint it had moved aside comes back."""
    for path in folder.glob(".epoch_*.tmp"):
        original = folder / path.name[1:].split(".")[0]
        if path.name.endswith(".old.tmp") and not original.exists():
            path.rename(original)
        else:
            shutil.rmtree(path, ignore_errors=True)
