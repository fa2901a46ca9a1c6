"""Networks of ours on the Hugging Face hub, ``hf:<id>``, or in a folder of that form. Imports no torch.

Such a folder holds model.safetensors, config.json, which tells it from networks of others before much is fetched, and a
card, README.md.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from errors import UserError, reason_of

from . import safe
from .catalogue import HUB, hub_folder
from .text import read_table, read_text

log = logging.getLogger(__name__)
CONFIG = "config.json"
LIBRARY = "sgdem"
"""Value of ``library_name`` in config.json."""


def own_upload(name: str, fetch: bool = False) -> Path | None:
    """The weight file of a network of ours that ``hf:<id>`` or ``hf:<folder>`` names; None of networks of others.

    fetch: ask the hub where nothing of this id was fetched before, and download what is ours

    Raises:
        UserError: when it is ours and cannot be fetched.
    """
    source = name.removeprefix(HUB)
    if source == name or not source:
        return None
    folder = Path(source) if Path(source).is_dir() else _snapshot(name)
    if folder:
        file = folder / safe.FILE
        return file if file.is_file() and _is_ours(folder) else None
    return _fetched(name, source) if fetch else None


def name_uploads(values: dict[str, Any]) -> None:
    """Let networks of ours that options name by ``hf:`` be named by their file; what else it names stays.

    Raises:
        UserError: when one cannot be fetched.
    """
    for name in ("model_load", "model_path"):
        if found := own_upload(values.get(name, ""), values.get("fetch", False)):
            values[name] = str(found.absolute())


def _is_ours(folder: Path) -> bool:
    if (folder / CONFIG).is_file():
        return read_table(folder / CONFIG).get("library_name") == LIBRARY
    try:
        return bool(safe.notes_in(folder / safe.FILE))
    except (safe.Broken, OSError):
        return False


def _snapshot(name: str) -> Path | None:
    """Where the hub keeps the newest version of a network that was fetched before."""
    kept = hub_folder(name)
    try:
        folder = kept / "snapshots" / read_text(kept / "refs" / "main").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return folder if folder.is_dir() else None


def _fetched(name: str, source: str) -> Path | None:
    """Download a network of ours; None where the hub has another one, or says nothing."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        return None
    try:
        config = Path(hf_hub_download(source, CONFIG))
    except Exception as error:  # of the hub, of its connection; whoever asks next for networks of others says which
        log.debug("%s: %s", name, error)
        return None
    if read_table(config).get("library_name") != LIBRARY:
        return None
    try:
        return Path(hf_hub_download(source, safe.FILE))
    except Exception as error:
        raise UserError(
            f"{name}: {safe.FILE} cannot be fetched ({reason_of(error)}); check the id and the connection"
        ) from None


def push(folder: Path, repository: str) -> str:
    """Upload a folder to the hub, as the owner of its token; gives the address.

    Raises:
        UserError: when `huggingface_hub` is missing or has no token, or the hub refuses.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(
            f"--push {repository}: needs the package huggingface_hub; install it with 'pip install huggingface_hub'"
        ) from None
    if not huggingface_hub.get_token():
        raise UserError(
            f"--push {repository}: huggingface_hub has no token; run 'hf auth login' once, or set the variable HF_TOKEN"
        )
    try:
        hub = huggingface_hub.HfApi()
        hub.create_repo(repository, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=str(folder))
    except Exception as error:  # of the hub, of its connection
        log.debug("%s: %s", repository, error)
        raise UserError(
            f"--push {repository}: refused ({reason_of(error)}); check the id, the token and the connection"
        ) from None
    return f"https://huggingface.co/{repository}"
