"""In which order the numbers in the names of frames put a sequence.

Digits can mean more than one thing: `1.9` and `1.10` are two counters, or one number with decimals; `f_-1` has a minus
sign, or a hyphen. What the names of a sequence leave open is refused, never guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from errors import UserError

from .listing import numbers_of

Key = tuple[int | Fraction, ...]
Reading = Callable[[str], Key]

_FLOAT = r"(?<![0-9.,])(?:[0-9]+[.,][0-9]+(?:e[-+][0-9]{1,3})?|[0-9]+e[-+][0-9]{1,3})(?![0-9]|[.,][0-9])"
"""A number as Python prints a float, or with a decimal comma; no part of 12.59.58.10."""
_NUMBER = re.compile(rf"({_FLOAT}|[0-9]+)")
_SIGNED = re.compile(rf"(?:(?<![0-9])-)?(?:{_FLOAT}|[0-9]+)")
_SHOWN = 3
"""Names in a sentence that shows an order."""


def in_order(where: object, names: Sequence[str]) -> list[str]:
    """File names of one sequence in the order of all their numbers, from left to right.

    The numbers are whole, unless the names say that one of them has decimals, see `have_decimals`.

    Args:
        where: the folder, named in errors
        names: in any order

    Raises:
        UserError: when a name has no number, two have the same, or the numbers can be read in another way that gives
            another order.
    """
    names = sorted(names)
    for name in names:
        if not numbers_of(name):
            raise UserError(f"{where}/{name}: no number in the file name; number the frames in order")
    if have_decimals(names):
        return sorted(names, key=_decimals)
    if _may_have_signs(names):
        _refuse_another(where, names, "with minus signs", _signed)
    if not _equals(names, _decimals):
        _refuse_another(where, names, "as decimal numbers", _decimals)
    if equals := _equals(names, numbers_of):
        raise UserError(f"{where}: {' and '.join(equals)} have the same number; keep one, or put them into two folders")
    return sorted(names, key=numbers_of)


def have_decimals(names: Sequence[str]) -> bool:
    """Whether names are the same but for one number with decimals, in as many digits as each needs.

    Such are seconds as Python prints them. With as many digits in all, whole numbers have the same order. With a zero
    at the end of some, as in 1.9 and 1.10, nothing tells, unless one of the readings makes two names equal.
    """
    pieces = [_NUMBER.split(_stem(name)) for name in names]  # words and numbers in turn
    if len(set(map(len, pieces))) != 1:
        return False
    different = [place for place, column in enumerate(zip(*pieces, strict=True)) if len(set(column)) > 1]
    if len(different) != 1 or different[0] % 2 == 0:
        return False
    numbers = [row[different[0]] for row in pieces]
    fractions = [number.replace(",", ".").partition(".")[2] for number in numbers]
    as_long = len(set(map(len, fractions))) == 1 and "e" not in "".join(numbers)
    if as_long or any(number.isdigit() for number in numbers):
        return False
    padded = any(len(fraction) > 1 and fraction.endswith("0") for fraction in fractions)
    return not _equals(names, _decimals) and (not padded or bool(_equals(names, numbers_of)))


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _decimals(name: str) -> Key:
    return tuple(Fraction(number.replace(",", ".")) for number in _NUMBER.findall(_stem(name)))


def _signed(name: str) -> Key:
    return tuple(Fraction(number.replace(",", ".")) for number in _SIGNED.findall(_stem(name)))


def _may_have_signs(names: Sequence[str]) -> bool:
    """Whether some have a hyphen before a number where others have none; where all have one, it separates."""
    rows = {tuple(number.startswith("-") for number in _SIGNED.findall(_stem(name))) for name in names}
    return len(rows) > 1 and any(map(any, rows))


def _equals(names: Sequence[str], reading: Reading) -> tuple[str, ...]:
    """The first two names that a reading makes equal; none where it tells all apart."""
    seen: dict[Key, str] = {}
    for name in names:
        other = seen.setdefault(reading(name), name)
        if other != name:
            return other, name
    return ()


def _refuse_another(where: object, names: Sequence[str], how: str, reading: Reading) -> None:
    """Raises `UserError` where a reading gives another order than whole numbers do."""
    whole, other = sorted(names, key=numbers_of), sorted(names, key=reading)
    equals = _equals(names, numbers_of)
    if whole == other and not equals:
        return
    first = next((place for place, pair in enumerate(zip(whole, other, strict=True)) if len(set(pair)) > 1), 0)
    shown = [", ".join(order[first : first + _SHOWN]) for order in (whole, other)]
    raise UserError(
        f"{where}: the numbers in the file names have two readings: as whole numbers {' = '.join(equals) or shown[0]}, "
        f"{how} {shown[1]}; rename the frames to 000000, 000001 and so on in the true order"
    )
