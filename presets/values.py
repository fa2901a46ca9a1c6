"""Values of options from the command line, TOML or JSON, checked. Imports no torch."""

from __future__ import annotations

import math
import os
import reprlib
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from errors import UserError, closest

from .option import WORDS, Option

MOST_BITS = 256  # of a whole number in a message
LARGEST = 2**31 - 1  # whole number
REMEDIES = {"resume": "; a checkpoint to begin with is --model-load"}  # other repositories mean something else by it


class _Short(reprlib.Repr):
    """Values as messages show them, whatever a file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write large ones."""
        return super().repr_int(value, level) if value.bit_length() < MOST_BITS else "a number of many digits"


shown = _Short().repr


def checked(option: Option, value: Any, where: str) -> Any:
    """Value of an option from text, TOML or JSON.

    Raises:
        UserError: naming `where` it came from, when it is not allowed.
    """
    if isinstance(option.default, bool):
        if not isinstance(value, bool):
            raise UserError(f"{where}: {shown(value)} is neither true nor false")
        return value
    try:
        text = _text(option, value)
        os.fsencode(text)  # what no file can be called
        result = option.parse(text)
        if isinstance(result, int) and result.bit_length() > MOST_BITS:
            raise OverflowError
    except (ValueError, OverflowError):
        wanted = WORDS.get(option.parse, "a valid value")
        raise UserError(f"{where}: {shown(value)} is not {wanted}") from None
    if option.choices and result not in option.choices:
        allowed = ", ".join(str(choice) or "''" for choice in option.choices)
        hint = closest(result[:80], map(str, option.choices)) if isinstance(result, str) else ""
        raise UserError(f"{where}: {shown(result)} is not one of {allowed}{hint}{REMEDIES.get(option.name, '')}")
    if isinstance(result, int | float):
        highest = min(option.high, LARGEST) if isinstance(result, int) else option.high
        if not (option.low <= result <= highest and math.isfinite(result)):
            low = f" of at least {option.low:g}" if math.isfinite(option.low) else ""
            high = f" and at most {highest:.10g}" if math.isfinite(highest) else ""
            raise UserError(f"{where}: {result} is out of range; give a finite number{low}{high}")
        if option.multiple > 1 and result % option.multiple:
            lower = result - result % option.multiple
            raise UserError(
                f"{where}: {result} is not a multiple of {option.multiple}; "
                f"nearest are {lower} and {lower + option.multiple}"
            )
    return result


def _text(option: Option, value: Any) -> str:
    """What a value of TOML or JSON is on the command line; raises ValueError for one of another kind."""
    if isinstance(value, list | tuple) and isinstance(option.default, tuple):
        return ("\0" if option.several else ",").join(_text(replace(option, default=0), part) for part in value)
    if value is None and option.default == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    return str(value)


def word(value: Any) -> str:
    """A value as the command line has it; lists come from JSON."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return (",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) or "''"


def as_flag(name: str, value: Any) -> str:
    """What to type so that an option has this value."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


def check_together(args: Namespace) -> None:
    """Check what one option cannot know alone; raises `UserError` naming the options."""
    if "model_depth_min" in args and args.model_depth_min >= args.model_depth_max:
        raise UserError(
            f"--model-depth-min {args.model_depth_min}: must be below --model-depth-max {args.model_depth_max}"
        )
    if args.command == "train" and args.overwrite and args.resume == "auto":
        raise UserError("--overwrite and --resume auto: one discards the run, the other continues it; give one of them")
    if args.data_intrinsics and len(args.data_intrinsics) != 4:
        raise UserError(f"--data-intrinsics: {len(args.data_intrinsics)} numbers; give the four fx,fy,cx,cy in pixels")
    for name in ("model_name", "experiment_class"):
        value = getattr(args, name)
        if value in ("", ".") or "\0" in value or Path(value).is_absolute() or ".." in Path(value).parts:
            raise UserError(
                f"--{name.replace('_', '-')} {value!r}: not a folder name below the checkpoint folder; "
                "give a plain name"
            )
