"""Files that samples need and that are not there: all of them in one sentence, or their samples left out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from errors import UserError

from .samples import Request

log = logging.getLogger(__name__)

SHOWN = 3
"""Files named when many are wrong."""
DROP_HINT = "or pass --data-on-missing drop to go on without"


def first_of(paths: Sequence[str]) -> str:
    """The first few paths, and how many more there are."""
    rest = len(paths) - SHOWN
    return ", ".join(paths[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


class Missing:
    """Collects files that should exist, each once however many samples share it, for one request."""

    def __init__(self, request: Request):
        self._may_drop = request.spec.may_drop
        self._drop = request.drop and self._may_drop
        self._paths: dict[str, None] = {}
        self._samples = 0

    def note(self, paths: Iterable[str]) -> bool:
        """Takes down what one sample lacks; returns whether it lacks anything, and so cannot be used."""
        paths = dict.fromkeys(paths)
        self._paths.update(paths)
        self._samples += bool(paths)
        return bool(paths)

    def check(self, where: object, remedy: str, left: int) -> None:
        """Says at the end of the search what was missing.

        Args:
            where: named first
            remedy: what to do about it
            left: number of samples that lack nothing

        Raises:
            UserError: with the number of missing files and the first of them, unless their samples may be left out
                and there are others.
        """
        if not self._paths:
            return
        files = f"{len(self._paths)} missing file{'' if len(self._paths) == 1 else 's'}: {first_of(list(self._paths))}"
        if not self._drop:
            raise UserError(f"{where}: {files}; {remedy}{f', {DROP_HINT}' if self._may_drop else ''}")
        if not left:
            raise UserError(f"{where}: no sample without a missing file ({files}); {remedy}")
        log.warning("%s: %d of %d samples left out for %s", where, self._samples, self._samples + left, files)
