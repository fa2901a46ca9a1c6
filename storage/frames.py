"""Where the frames of a video lie once they were taken out of it, and how a folder says that they are all there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

NOTES = "frames.json"
FOLDER = ".video_frames"  # below that of all runs, or of caches


def place_of(video: Path, home: Path) -> Path:
    """Folder for all frames of a video; a video that changes gets another one."""
    status = video.stat()
    state = f"{video.absolute()} {status.st_size} {status.st_mtime_ns}"
    return home / FOLDER / f"{video.stem}_{hashlib.sha256(state.encode(errors='surrogateescape')).hexdigest()[:8]}"


def read_notes(folder: Path) -> dict[str, Any]:
    """What a folder says of its frames; {} where it holds none of a video, or says nothing that can be read."""
    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def are_complete(folder: Path) -> bool:
    """Whether all frames that were wanted are in a folder."""
    return read_notes(folder).get("complete") is True
