"""Text files that people edit, on whatever system and with whatever editor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_text(path: str | Path, errors: str = "strict") -> str:
    """Content of a UTF-8 file without the mark that some editors put before it (BOM); all line ends become LF.

    errors: what becomes of bytes that are no UTF-8, as in `bytes.decode`

    Raises:
        OSError: when it cannot be read.
        UnicodeDecodeError: when it is no UTF-8.
    """
    with open(path, encoding="utf-8-sig", errors=errors) as file:  # newline=None: \r\n and \r become \n
        return file.read()


def read_table(path: Path) -> dict[str, Any]:
    """Content of a JSON file with a table; {} where it holds none, or cannot be read."""
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
