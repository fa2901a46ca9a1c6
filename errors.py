"""What goes wrong, in words: the user's mistakes, and shapes that do not fit."""

from __future__ import annotations

import difflib
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Protocol


class UserError(Exception):
    """A mistake the user can mend; its one sentence says where, what, and what to do.

    Commands print it as ``error: <sentence>`` on stderr and exit with code 2.
    """


class HasShape(Protocol):
    """Anything with a shape: a tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, outermost first."""


def check_shape(name: str, tensor: HasShape, *expected: int | None) -> None:
    """Compare a shape with what a function needs; ``None`` accepts any size.

    Raises:
        ValueError: with the name, the shape found and the shape needed.
    """
    found = tuple(tensor.shape)
    fits = len(found) == len(expected) and all(want in (None, got) for got, want in zip(found, expected, strict=True))
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(f"{name}: shape {found}, expected ({wanted})")


def closest(name: str, names: Iterable[str], count: int = 3) -> str:
    """Up to `count` names that look like `name`, as `` (closest: a, b)``; empty where none does."""
    found = difflib.get_close_matches(name, list(names), n=count, cutoff=0.4)
    return f" (closest: {', '.join(found)})" if found else ""


def reason_of(error: BaseException, most: int = 200) -> str:
    """What an exception says, to stand inside a sentence: its first line, cut short; its kind where it says nothing."""
    first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return first[:most].rstrip(".")


def exit_code(run: Callable[[], int]) -> int:
    """What a command ends with: the answer of `run`, 2 after the sentence of a `UserError`, 130 after Ctrl-C."""
    try:
        return run()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
