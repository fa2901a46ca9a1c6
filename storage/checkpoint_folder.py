"""A checkpoint folder on disk: written whole or not at all, compared with what is noted in it, listed, swept.

Whatever is not whole has a name of the form ``.<name>.<process id>.tmp``; what was moved aside for a new checkpoint of
its name, ``.<name>.<process id>.old.tmp``. So a process may be killed at any time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from errors import UserError

from .in_use import unused
from .notes import METADATA, Damaged, as_text, read

_NAME = re.compile(r"epoch_(\d{1,9})(?:_batch_(\d{1,9}))?", re.ASCII)
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # SMB, some of FUSE and NFS


def checkpoints(run_folder: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    folder = run_folder / "checkpoints"
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=order)


def order(folder: Path) -> tuple[int, int]:
    """Finished epochs, and steps of the next one."""
    epoch, batch = _NAME.fullmatch(folder.name).groups(default="0")
    return int(epoch), int(batch)


def verify(folder: Path, noted: bool = False, only: Collection[str] = ()) -> None:
    """Compare a checkpoint of ours with the sizes and hashes noted in it; others are only looked for.

    Args:
        folder: with model.pth and more.
        noted: notes must be there.
        only: names of the files that will be read, () for all.

    Raises:
        UserError: naming the file that is missing or damaged.
    """
    if not (folder / "model.pth").is_file():
        raise UserError(
            f"{folder}: holds no model.pth; give the folder of a checkpoint, "
            "such as .../checkpoints/epoch_20, in --model-load"
        )
    path = folder / METADATA
    if not path.is_file():
        if noted:
            raise UserError(f"{path}: not there, so nothing tells whether the checkpoint is whole; use another one")
        return
    try:
        files = read(path)["files"]
        for name in only or {**files, "model.pth": {}}:
            if described(folder / name) != files.get(name):
                raise UserError(
                    f"{folder / name}: damaged (size or hash is not what {METADATA} notes); use another checkpoint"
                )
    except Damaged as error:
        raise UserError(f"{path}: damaged ({error}); use another checkpoint") from None


def described(path: Path) -> dict[str, Any]:
    """Size and hash of a file as notes have them; {} where there is none that can be read."""
    if not path.is_file():  # a pipe never ends
        return {}
    try:
        with path.open("rb") as file:
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError:
        return {}


def write(folder: Path, parts: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write what `parts` say by file name, and `about` with sizes and hashes of the files beside them.

    Raises:
        OSError: when it cannot be written; what was there before stays, and nothing else.
    """
    temporary = _aside(folder)
    previous = temporary.with_suffix(".old.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, content in parts.items():
            with (temporary / name).open("wb") as file:
                _save(content, file)
        files = {name: described(temporary / name) for name in parts}
        with (temporary / METADATA).open("w", encoding="utf-8") as file:
            file.write(as_text({**about, "files": files}))
            file.flush()
            os.fsync(file.fileno())
        _sync(temporary)
        if os.path.lexists(folder):
            folder.rename(previous)
        temporary.rename(folder)
        _sync(folder.parent)
    finally:
        _remove(temporary)
        _settle(previous, folder)


def discard(folder: Path) -> None:
    """Remove a folder whole or not at all; of a link, the link."""
    with contextlib.suppress(FileNotFoundError):
        folder.rename(_aside(folder))
        _remove(_aside(folder))


def discard_unused(folder: Path) -> str:
    """Remove a checkpoint unless another process uses it or it cannot be removed; gives what keeps it, or ""."""
    with unused(folder / "model.pth") as free:
        if not free:
            return "another process uses it"
        try:
            discard(folder)
        except OSError as error:
            return f"it cannot be removed ({error.strerror})"
    return ""


def sweep(run_folder: Path) -> None:
    """Remove what a killed process left in a run folder; a checkpoint it had moved aside comes back."""
    left = (".checkpoints.*.tmp", ".opt.json.*.tmp", "bad_steps/.step_*.tmp")
    for path in (path for pattern in left for path in run_folder.glob(pattern)):
        _remove(path)
    for path in run_folder.glob("checkpoints/.epoch_*.tmp"):
        if path.name.endswith(".old.tmp"):
            _settle(path, path.with_name(path.name[1:].split(".")[0]))
        else:
            _remove(path)


def size_of(parts: Mapping[str, Any]) -> int:
    """Bytes that `write` needs for these parts."""
    total = 0
    for content in parts.values():
        with _Nowhere() as nowhere:
            torch.save(content, nowhere)
            total += nowhere.size
    return total


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing but its size."""

    size = 0

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        self.size += count
        return count


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{os.getpid()}.tmp")


def _settle(previous: Path, folder: Path) -> None:
    """Bring back what was moved aside, or remove it where something new has its place."""
    if not os.path.lexists(previous):
        return
    if not os.path.lexists(folder):
        previous.rename(folder)
        return
    gone = previous.with_name(previous.name.replace(".old.tmp", ".tmp"))  # half of it must not come back
    _remove(gone)
    previous.rename(gone)
    _remove(gone)


def _remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a file; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _save(content: Any, file: BinaryIO) -> None:
    try:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    except RuntimeError as error:  # torch hides the error of the file system
        if "write" not in str(error) and "enforce fail" not in str(error):
            raise
        raise OSError(28, "writing failed: the disk is full, or a quota or a limit on file sizes reached") from error


def _sync(folder: Path) -> None:
    """Wait until a disk has the names in a folder, where its file system can be asked to: not all can promise that."""
    if os.name == "nt":  # opens no folders, and needs none to be written
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)
