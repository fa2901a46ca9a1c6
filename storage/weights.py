"""State dicts from files, and how well they fit a network. Nothing in a file is ever executed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import UserError

from . import safe
from .scan import Refused, check_loaded, scan

log = logging.getLogger(__name__)
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
_PROGRESS = ("optimizer", "lr_scheduler")  # what published trainings keep beside the network in one file
State = dict[str, Any]
"""What a file holds of a network: tensors, and plain values beside them, under keys joined by dots."""


def load_file(path: Path, repeated: bool = False) -> Any:
    """Content of a file written by ``torch.save``, in the zip or the older container, or by safetensors, on the CPU.

    It takes no more memory than the file is large. With `repeated`, tensors may say that they repeat what is stored of
    them, and become larger where they are copied: compare their shapes first.

    Raises:
        UserError: when the file is missing, damaged, or holds anything but tensors and plain values.
    """
    try:
        if safe.is_one(path):
            return safe.tensors_in(path)
        scan(path)
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
        check_loaded(content, path.stat().st_size, repeated)
        return content
    except Exception as error:  # torch raises a dozen kinds for damaged files
        if isinstance(error, OSError) and error.filename is not None:
            raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of a checkpoint") from None
        log.debug("%s: %s", path, error)
        reason = f" ({error})" if isinstance(error, Refused | safe.Broken) else ""
        raise UserError(
            f"{path}: not a checkpoint, damaged, or holding code instead of tensors{reason}; give the path "
            "of a model.pth, or fetch or write it again"
        ) from None


def read_state(path: Path) -> State:
    """State dict of a network, without the prefixes that wrappers put before the names; nested ones are flattened.

    Optimiser and schedule in the same file are left out.

    Raises:
        UserError: as `load_file`, or when the file holds something else than a state dict.
    """
    content = load_file(path, repeated=True)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if isinstance(content, Mapping):
        content = {key: value for key, value in content.items() if key not in _PROGRESS}
    try:
        state = dict(_flat(content)) if isinstance(content, Mapping) else {}
    except (ValueError, RecursionError):
        state = {}
    strange = [key for key, value in state.items() if not isinstance(value, Tensor | bool | int | float | str)]
    tensors = any(isinstance(value, Tensor) for value in state.values())
    if state and (strange or not tensors):
        found = f"{_listed(strange)}, neither tensors nor numbers" if strange else f"{_listed(state)}, but no tensor"
        raise UserError(f"{path}: holds {found}, so it is no network alone; give the path of a model.pth")
    if not state:
        raise UserError(f"{path}: holds no state dict of a network; give the path of a model.pth")
    return state


def _listed(keys: Iterable[str], most: int = 5) -> str:
    """Up to so many names."""
    first = list(keys)
    return ", ".join(first[:most]) + (f" and {len(first) - most} more" if len(first) > most else "")


def read_parts(folder: Path, parts: Sequence[str]) -> State:
    """What the files ``<part>.pth`` of a folder say, each under the name of its part; those that are missing are not.

    Raises:
        UserError: as `read_state`.
    """
    found = {part: read_state(folder / f"{part}.pth") for part in parts if (folder / f"{part}.pth").is_file()}
    return {f"{part}.{key}": value for part, state in found.items() for key, value in state.items()}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of `read_state`."""
    return {key: value for key, value in read_state(path).items() if isinstance(value, Tensor)}


def _flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if not isinstance(key, str):
            raise ValueError(f"{key!r} is no name")
        name = prefix + _without_prefixes(key)
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _without_prefixes(key: str) -> str:
    while key.startswith(_PREFIXES):
        key = key.removeprefix("module.").removeprefix("_orig_mod.")
    return key


@dataclass(frozen=True)
class Fit:
    """Keys a network misses in a file, keys it does not know, and keys whose shapes differ."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[str, ...]
    total: int

    @property
    def is_whole(self) -> bool:
        """True where every tensor finds its place."""
        return not (self.missing or self.unknown or self.reshaped)


def compare(model: nn.Module, state: Mapping[str, Tensor]) -> Fit:
    """How a state dict fits; batch counters that old files lack are not missed."""
    own = model.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    reshaped = [key for key in own if key in state and own[key].shape != state[key].shape]
    return Fit(tuple(missing), tuple(unknown), tuple(reshaped), len(own))


def describe(fit: Fit) -> str:
    """Counts with the first keys: ``12 of 296 missing (first: a, b, c)``."""
    parts = []
    for keys, what in ((fit.reshaped, "have another shape"), (fit.missing, "missing"), (fit.unknown, "unknown")):
        if keys:
            of = f" of {fit.total}" if what != "unknown" else ""
            parts.append(f"{len(keys)}{of} tensors {what} (first: {', '.join(keys[:3])})")
    return "; ".join(parts)


def copy_weights(
    model: nn.Module, state: Mapping[str, Tensor], path: Path, strict: bool, remedy: Callable[[Fit], str]
) -> None:
    """Copy a state dict into a network.

    Args:
        model: any network.
        state: under its keys.
        path: where it is from.
        strict: every tensor must fit; otherwise missing and unknown keys are only reported.
        remedy: what to do where it does not fit.

    Raises:
        UserError: with counts, the first keys and the remedy.
    """
    fit = compare(model, state)
    nothing = not any(key in state for key in model.state_dict())
    if nothing or fit.reshaped or (strict and not fit.is_whole):
        raise UserError(f"{path}: {describe(fit)}; {remedy(fit)}")
    if not fit.is_whole:
        log.warning("%s: %s; missing ones keep their values, unknown ones are skipped", path, describe(fit))
    model.load_state_dict(state, strict=False)
