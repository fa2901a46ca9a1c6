"""Files of options: presets (TOML) and opt.json of an earlier run. Imports no torch."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from errors import UserError

MOST_BYTES = 1 << 20


def read_file(path: str) -> dict[str, Any]:
    """Values by name, as written and not checked.

    Raises:
        UserError: when the file cannot be read, is too long or holds no table.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ValueError(f"longer than {MOST_BYTES} bytes")
        text = raw.decode("utf-8-sig")  # some editors put a mark (BOM) before it
        content = json.loads(text) if path.lower().endswith(".json") else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"--config {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"--config {path}: not a valid preset ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"--config {path}: holds no table of options")
    return content
