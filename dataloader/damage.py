"""Samples of a training whose files turn out damaged: told, counted, and at some number too many."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from errors import UserError

from .catalog import LoaderSpec
from .integrity import needed
from .samples import Sample

log = logging.getLogger(__name__)

SKIP_HINT = "or pass --data-on-error skip to train on other samples instead"


class Damaged(NamedTuple):
    """A sample that cannot be used: domain of its loader, its number there, a sentence about the file at fault."""

    domain: str
    index: int
    sentence: str


class Damage:
    """Damaged samples that one rank has met; frames of several samples are told once.

    Args:
        limit: number of damaged samples that are still tolerated
    """

    def __init__(self, limit: int):
        self.limit = limit
        self._samples: set[tuple[str, int]] = set()
        self._told: set[str] = set()

    def note(self, found: Iterable[Damaged]) -> None:
        """Takes down damaged samples.

        Raises:
            UserError: when there are too many.
        """
        for domain, index, sentence in found:
            self._samples.add((domain, index))
            if len(self._samples) > self.limit:
                raise UserError(
                    f"--data-max-errors {self.limit}: already {len(self._samples)} samples have damaged "
                    f"files, the last one for {sentence}"
                )
            if sentence not in self._told:
                self._told.add(sentence)
                log.warning("%s; other samples take the place of those that need it", sentence)

    def sound(self, spec: LoaderSpec, samples: Sequence[Sample]) -> list[Sample]:
        """The samples of a loader of which no damage is known."""
        return [sample for index, sample in enumerate(samples) if (spec.domain, index) not in self._samples]

    def note_files(self, spec: LoaderSpec, samples: Sequence[Sample], faults: Mapping[str, str]) -> None:
        """Takes down the samples of a loader that need damaged files, given by path with a sentence about each.

        Raises:
            UserError: when there are too many.
        """
        self.note(
            Damaged(spec.domain, index, faults[path])
            for index, sample in enumerate(samples)
            for path in needed(sample)
            if path in faults
        )
