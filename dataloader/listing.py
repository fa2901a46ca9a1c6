"""What lies in a folder, asked of the file system once per directory instead of once per file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from .files import IMAGE_TYPES
from .lists import leads_out

DIGITS = re.compile(r"[0-9]+")


class Listing:
    """The files below one folder; every directory is listed at most once."""

    def __init__(self, root: Path):
        self.root = root
        self._names = lru_cache(maxsize=None)(self._scan)

    def _scan(self, folder: str) -> frozenset[str]:
        if leads_out(folder):
            return frozenset()
        try:
            return frozenset(os.listdir(self.root / folder))
        except (OSError, ValueError):  # absent, a file, or no possible name: there is nothing in it
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


def numbers_of(name: str) -> tuple[int, ...]:
    """All numbers in a file name without its type, from left to right; empty where there is none."""
    return tuple(int(digits) for digits in DIGITS.findall(os.path.splitext(name)[0]))
