"""Weight files that others publish: where torch keeps them, fetched where that was asked for, checked in any case.

Torch's convention puts the first digits of a file's SHA-256 into its name: ``resnet18-f37072fd.pth``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from errors import UserError

from .atomic import make_writable
from .download import download


def place(file: str) -> Path:
    """Where torch keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / file


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
        make_writable(path.parent, f"let the variable TORCH_HOME name a folder that can, for {name} to be kept there")
        try:
            download(address, path, attempts=3)
        except UserError as error:
            reason = str(error).partition("; ")[0]
            raise UserError(f"{name}: {reason}; download the file elsewhere and put it there as {path}") from None
    if not path.is_file():
        raise UserError(
            f"{name}: {path} is not there; download {address} and put it there, or let the variable TORCH_HOME name a "
            "folder that has it"
        )
    digest, expected = sha256(path), hash_in(path.name)
    if not digest.startswith(expected):
        remedy = "run again to fetch it anew" if fetched else f"delete it and download {address} again"
        if fetched:
            path.unlink()
        raise UserError(
            f"{path}: damaged or not the published file (its SHA-256 begins with {digest[:8]}, not "
            f"{expected}); {remedy}"
        )
    return digest


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal digits."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of a weight file") from None
