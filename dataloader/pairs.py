"""Lists of images with their depth maps, as BTS, LapDepth and their heirs have them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from errors import UserError

from .lists import leads_out, read_lines

ABSENT = "None"
REMEDY = "fetch it again, or delete it to use what is there"


class Pair(NamedTuple):
    """Paths relative to the folder of the images; `depth` and `dense` are empty where the list names none."""

    image: str
    depth: str
    dense: str = ""


def read_pairs(path: Path) -> list[Pair]:
    """Lines ``rgb depth`` of a list in their order; a third path is that of a map without gaps.

    A focal length behind them is passed over.

    Raises:
        UserError: when the file cannot be read, is empty, or a line names no pair or leads out of its folder.
    """
    pairs = []
    for number, line in read_lines(path, REMEDY):
        fields = [field.replace("\\", "/").lstrip("/") for field in line.split()]
        fields[2:] = [field for field in fields[2:3] if not _is_number(field)]
        if len(fields) < 2 or any(map(leads_out, fields)):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} is not '<image> <depth> ...' below the data folder; "
                "mend or fetch the list again"
            )
        image, *maps = fields
        pairs.append(Pair(image, *("" if field == ABSENT else field for field in maps)))
    return pairs


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
