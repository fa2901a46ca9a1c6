"""Lists of images with their depth maps, as BTS, LapDepth and their heirs have them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from errors import UserError

from .lists import leads_out, read_lines

ABSENT = "None"
REMEDY = "fetch it again, or delete it to use what is there"


class Pair(NamedTuple):
    """Paths relative to the folder of the images; `depth` is empty where the list says that there is none."""

    image: str
    depth: str


def read_pairs(path: Path) -> list[Pair]:
    """Lines ``rgb depth`` of a list in their order; a focal length or a third path behind them is passed over.

    Raises:
        UserError: when the file cannot be read, is empty, or a line names no pair or leads out of its folder.
    """
    pairs = []
    for number, line in read_lines(path, REMEDY):
        fields = [field.replace("\\", "/").lstrip("/") for field in line.split()]
        if len(fields) < 2 or any(map(leads_out, fields[:2])):
            raise UserError(
                f"{path}, line {number}: {line.strip()[:80]!r} is not '<image> <depth> ...' below the data folder; "
                "mend or fetch the list again"
            )
        pairs.append(Pair(fields[0], "" if fields[1] == ABSENT else fields[1]))
    return pairs
