"""What lies in a folder, asked of the file system once per directory instead of once per file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from errors import UserError

from .files import IMAGE_TYPES

SHOWN = 3
"""Missing files named in an error."""


class Listing:
    """The files below one folder; every directory is listed at most once."""

    def __init__(self, root: Path):
        self.root = root
        self._names = lru_cache(maxsize=None)(self._scan)

    def _scan(self, folder: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(self.root / folder))
        except OSError:  # absent, or a file: there is nothing in it
            return frozenset()

    def names(self, folder: str) -> frozenset[str]:
        """Names in a folder given relative to the root; none where it does not exist."""
        return self._names(folder)

    def has(self, path: str) -> bool:
        """Whether a relative path with `/` exists."""
        folder, _, name = path.rpartition("/")
        return name in self._names(folder)

    def find(self, stem: str, types: Iterable[str] = IMAGE_TYPES) -> str:
        """Absolute path of the first existing `stem` + type, empty where there is none."""
        folder, _, name = stem.rpartition("/")
        names = self._names(folder)
        for kind in types:
            if name + kind in names:
                return f"{self.root}/{stem}{kind}"
        return ""

    def find_image(self, path: str) -> str:
        """Absolute path of an image, as PNG or JPG whichever is there; its own type goes first."""
        stem, kind = os.path.splitext(path)
        return self.find(stem, (kind, *IMAGE_TYPES))


class Missing:
    """Collects files that should exist, to report them all in one sentence."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, path: str) -> None:
        """Notes one missing file."""
        if self._count < SHOWN:
            self._first.append(path)
        self._count += 1

    def check(self, where: object, remedy: str) -> None:
        """Raises: UserError with the number of missing files and the first of them, when there are any."""
        if self._count:
            rest = self._count - len(self._first)
            names = ", ".join(self._first) + (f" and {rest} more" if rest else "")
            files = "file" if self._count == 1 else "files"
            raise UserError(f"{where}: {self._count} missing {files}: {names}; {remedy}")


def number_of(name: str) -> int | None:
    """Number in a file name: its last run of digits; None where there is none."""
    digits = ""
    for character in reversed(os.path.splitext(name)[0]):
        if character.isascii() and character.isdigit():
            digits = character + digits
        elif digits:
            break
    return int(digits) if digits else None
