"""What lies in a folder, asked of the file system once per directory instead of once per file.

Everything that is looked for by its name is found here, whatever the case of its extension: `.png` finds `.PNG`. What
begins with a dot is not there: Macs put `._frame.png` beside frame.png on foreign disks, which is no image.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from errors import UserError

from .lists import leads_out

IMAGE_TYPES = (".png", ".jpg", ".jpeg")
DIGITS = re.compile(r"[0-9]+")
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP)
"""Why a folder cannot be listed that is none: nothing there, a file, no possible name, a link to itself."""
_OF_THE_DISK = ("lost+found", "System Volume Information", "$RECYCLE.BIN")
"""Folders at the root of a disk that users may not list and that hold no data."""


def refuse_unlisted(fault: OSError) -> None:
    """What `os.walk` is to do about a folder that it cannot list: go on only where there is none.

    Raises:
        UserError: where there is one, as without permission or with a broken disk.
    """
    if fault.errno not in _ABSENT and os.path.basename(fault.filename) not in _OF_THE_DISK:
        raise UserError(
            f"{fault.filename}: the folder cannot be listed ({fault.strerror}); get permission to read it, or mend the "
            "disk or connection"
        ) from fault


def _folded(name: str) -> str:
    """A file name with its extension in lower case."""
    stem, kind = os.path.splitext(name)
    return stem + kind.lower()


def visible(names: Iterable[str]) -> list[str]:
    """The names that do not begin with a dot."""
    return [name for name in names if not name.startswith(".")]


class Folder(NamedTuple):
    """Names in one directory: all of them, and by themselves with their extensions in lower case."""

    names: frozenset[str] = frozenset()
    folded: Mapping[str, str] = MappingProxyType({})


class Listing:
    """The files below one folder; every directory is listed at most once.

    Raises: UserError where a directory is there and cannot be listed.
    """

    def __init__(self, root: Path):
        self.root = root
        self._folder = lru_cache(maxsize=None)(self._scan)

    def _scan(self, folder: str) -> Folder:
        if leads_out(folder):
            return Folder()
        try:
            names = visible(os.listdir(self.root / folder))
        except OSError as fault:
            refuse_unlisted(fault)
            return Folder()
        except ValueError:  # no possible name
            return Folder()
        return Folder(frozenset(names), {_folded(name): name for name in sorted(names)})

    def names(self, folder: str) -> frozenset[str]:
        """Visible names in a folder given relative to the root; none where it does not exist."""
        return self._folder(folder).names

    def has(self, path: str) -> bool:
        """Whether a relative path with `/` exists, whatever the case of its extension."""
        return bool(self.file(path))

    def file(self, path: str) -> str:
        """Absolute path of what a relative path with `/` names, as it is spelled on disk; empty where it is not."""
        place, slash, name = path.rpartition("/")
        folder = self._folder(place)
        found = name if name in folder.names else folder.folded.get(_folded(name))
        return f"{self.root}/{place}{slash}{found}" if found else ""

    def find(self, stem: str, types: Iterable[str] = IMAGE_TYPES) -> str:
        """Absolute path of the first existing `stem` + type, empty where there is none."""
        return next((path for kind in types if (path := self.file(stem + kind))), "")

    def images(self, folder: str) -> dict[str, str]:
        """Absolute paths of the images in a folder by their names without type, in order.

        One that is there as PNG and as JPG is one image, of which the PNG is taken.
        """
        start = f"{folder}/" if folder else ""
        stems = {stem for stem, kind in map(os.path.splitext, self.names(folder)) if kind.lower() in IMAGE_TYPES}
        return {stem: self.find(start + stem) for stem in sorted(stems)}

    def find_image(self, path: str) -> str:
        """Absolute path of an image, as PNG or JPG whichever is there; its own type goes first."""
        stem, kind = os.path.splitext(path)
        return self.find(stem, (kind, *IMAGE_TYPES))


def on_disk(path: Path) -> Path:
    """A path as it is spelled on disk, whatever the case of its extension; as it is where there is no such file.

    The folder is listed only where the path does not exist as it is.
    """
    return path if os.path.exists(path) else Path(Listing(path.parent).file(path.name) or path)


def numbers_of(name: str) -> tuple[int, ...]:
    """All numbers in a file name without its type, from left to right; empty where there is none."""
    return tuple(int(digits) for digits in DIGITS.findall(os.path.splitext(name)[0]))
