"""Weight files that others publish: fetched where that was asked for, checked in any case. Imports no torch.

Torch's convention puts the first digits of a file's SHA-256 into its name: ``resnet18-f37072fd.pth``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from errors import UserError, closest

from .atomic import make_writable
from .catalogue import MODELS, Published, place
from .download import download

log = logging.getLogger(__name__)


def hash_in(file: str) -> str:
    """First digits of its SHA-256, which its name says."""
    return file.partition(".")[0].rpartition("-")[2]


def obtain(name: str, address: str, fetch: bool = False) -> str:
    """Let a published file be in its place, and be the one its name says.

    Args:
        name: what it is called in errors.
        address: of the file; ends with its name.
        fetch: download it where it is missing.

    Returns: its SHA-256.

    Raises:
        UserError: when it is not there, cannot be fetched or is another one, with its address and place; when its place
            cannot be written, with the variable that names another.
    """
    path = place(address.rpartition("/")[2])
    fetched = not path.is_file() and fetch
    if fetched:
        _fetch(name, address, path)
    if not path.is_file():
        raise _absent(name, address, path)
    digest, expected = sha256(path), hash_in(path.name)
    if not digest.startswith(expected):
        raise _damaged(path, address, fetched, f"its SHA-256 begins with {digest[:8]}, not {expected}")
    return digest


def unknown(name: str) -> str:
    """What to say of a name that `MODELS` has not."""
    return (
        f"{name}: no published network of this name is known{closest(name, MODELS)}; inference.py --list-models and "
        "docs/models.md name those that are"
    )


def locate(name: str, fetch: bool = False) -> Path:
    """File or folder of a network of `MODELS` that lies in torch's folder: as it is, or fetched where that was asked.

    Raises:
        UserError: when there is no such name, it is not there, cannot be fetched, or is damaged; with what to do.
    """
    if name not in MODELS:
        raise UserError(unknown(name))
    entry = MODELS[name]
    if entry.is_archive:
        return _unpacked(entry, fetch)
    if entry.address:
        obtain(name, entry.address, fetch)
    elif not entry.is_at_hand:
        files = f" with {' and '.join(entry.files)}" if entry.files else ""
        raise UserError(
            f"{name}: {entry.place}{files} is not there; get it with a browser from {entry.page} (licence: "
            f"{entry.licence}) and put it there, or let the variable TORCH_HOME name a folder that has it"
        )
    return entry.place


def _unpacked(entry: Published, fetch: bool) -> Path:
    """Folder of a published zip archive, which may lie beside it, put there by hand."""
    if entry.is_at_hand:
        return entry.place
    archive = entry.place.with_name(f"{entry.place.name}.zip")
    fetched = not archive.is_file() and fetch
    if fetched:
        _fetch(entry.name, entry.address, archive)
    if not archive.is_file():
        raise _absent(entry.name, entry.address, archive)
    digest = _hash(archive, "md5")
    if digest != entry.md5:
        raise _damaged(archive, entry.address, fetched, f"its MD5 is {digest}, not {entry.md5}")
    _unpack(archive, entry.place)
    if not entry.is_at_hand:
        raise UserError(
            f"{archive}: holds no {' and '.join(entry.files)}; delete it and download {entry.address} again"
        )
    return entry.place


def _unpack(archive: Path, folder: Path) -> None:
    """The weight files of an archive, whose hash was compared, in a folder that appears when it is whole."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                name = Path(member.filename).name
                if name.endswith(".pth") and not name.startswith("."):  # whatever folder they are in there
                    with file.open(member) as source, (temporary / name).open("wb") as target:
                        shutil.copyfileobj(source, target)
        with contextlib.suppress(FileExistsError, IsADirectoryError):  # another process was faster
            temporary.rename(folder)
        archive.unlink()
    except (OSError, zipfile.BadZipFile) as error:
        if folder.is_dir():
            return
        raise UserError(
            f"{archive}: cannot be unpacked into {folder} ({error}); make room, or fetch it again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fetch(name: str, address: str, path: Path) -> None:
    make_writable(path.parent, f"let the variable TORCH_HOME name a folder that can, for {name} to be kept there")
    log.info("%s: fetching %s%s", name, address, _terms(name, " (", ")"))
    try:
        download(address, path, attempts=3)
    except UserError as error:
        reason = str(error).partition("; ")[0]
        raise UserError(f"{name}: {reason}; download the file elsewhere and put it there as {path}") from None


def _terms(name: str, before: str, after: str) -> str:
    """Size and licence of a published network; "" for other files."""
    if name not in MODELS:
        return ""
    entry = MODELS[name]
    return f"{before}{f'{entry.size}, ' if entry.size else ''}licence: {entry.licence}{after}"


def _absent(name: str, address: str, path: Path) -> UserError:
    return UserError(
        f"{name}: {path} is not there; pass --fetch to download {address}{_terms(name, ' (', ')')}, or put it there "
        "yourself, or let the variable TORCH_HOME name a folder that has it"
    )


def _damaged(path: Path, address: str, fetched: bool, fault: str) -> UserError:
    """What to say of a file that is another one; one that was just fetched goes."""
    if fetched:
        path.unlink()
    remedy = "run again to fetch it anew" if fetched else f"delete it and download {address} again"
    return UserError(f"{path}: damaged or not the published file ({fault}); {remedy}")


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal digits."""
    return _hash(path, "sha256")


def digest_of(files: Sequence[Path]) -> str:
    """SHA-256 of a file; of several that of the lines ``sha256sum`` prints of them, in the order of their names.

    Raises:
        UserError: when one of them cannot be read.
    """
    if len(files) == 1:
        return sha256(files[0])
    lines = [f"{sha256(path)}  {path.name}\n" for path in sorted(files, key=lambda path: path.name)]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def identity_of(path: Path) -> dict[str, str]:
    """`name` and `sha256` of the network that a checkpoint folder, a published folder or a weight file holds.

    name:   of a file its own; of a folder the last three of its path, such as ``run/checkpoints/epoch_20``
    sha256: as of `digest_of`; "" where it has no file
    """
    folder = path.parent if path.name == "model.pth" else path
    if folder.is_file():
        return {"name": folder.name, "sha256": sha256(folder)}
    files = [folder / "model.pth"]
    if not files[0].is_file():
        files = sorted([*folder.glob("*.pth"), *folder.glob("*.pkl"), *folder.glob("*.safetensors")])
    return {"name": short_name(folder), "sha256": digest_of(files) if files else ""}


def short_name(folder: str | Path) -> str:
    """What a checkpoint folder is called wherever the folder of all runs lies: the last three of its path."""
    return "/".join(Path(folder).parts[-3:])


def _hash(path: Path, kind: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of a weight file") from None
