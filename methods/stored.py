"""What a path holds of a network, and which methods may have written it."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from errors import UserError
from storage.catalogue import is_name, method_of
from storage.checkpoint_folder import verify
from storage.in_use import hold
from storage.notes import METADATA
from storage.published import locate
from storage.weights import State, read_parts, read_state

from . import METHODS, keys
from .method import Adopted


@dataclass(frozen=True)
class Stored:
    """A network as files hold it.

    path:  file or folder, for messages
    state: what it says; `noted` where notes of ours lie beside it
    """

    path: Path
    state: State
    noted: bool

    def adopted(self, method: str) -> Adopted:
        """Weights under the keys of our network; as they are where the file is no published one of this method."""
        found = None if self.noted else keys(method).adopt(self.state)
        return found or Adopted({key: value for key, value in self.state.items() if isinstance(value, Tensor)})


def source_of(args: Namespace) -> Path:
    """File or folder of the network that ``--model-path`` or ``--model-load`` names; a published one may be fetched.

    Raises:
        UserError: when none is given, a published one is not there, or it is a frozen one, which is no checkpoint.
    """
    flag = "--model-path" if hasattr(args, "model_path") else "--model-load"
    name = getattr(args, "model_path", "") or args.model_load
    if not name:
        raise UserError(f"{flag}: not given; name the checkpoint to use")
    path = Path(name) if getattr(args, "model_path", "") else Path(args.checkpoint_dir) / name
    if os.path.exists(path) or not is_name(name):
        return path
    if method_of(name) and not METHODS[method_of(name)].trained:
        frozen = method_of(name)
        raise UserError(
            f"{flag} {name}: a frozen teacher; eval_depth.py --method {frozen} evaluates it, and inference.py --method "
            f"{frozen} shows what it sees"
        )
    return locate(name, args.fetch)


def read_network(source: Path, keep: bool = True) -> Stored:
    """What a checkpoint folder, a weight file, a published folder or one with a single weight file holds.

    keep: no training removes the checkpoint as long as this process lives

    Raises:
        UserError: when it is missing, damaged or none of these.
    """
    if source.name == "model.pth":
        source = source.parent
    if keep:
        hold(source if source.is_file() else source / "model.pth")
    if source.is_file():
        return Stored(source, read_state(source), (source.parent / METADATA).is_file())
    if not (source / "model.pth").is_file():
        for method in METHODS.values():
            if method.parts and (source / f"{next(iter(method.parts))}.pth").is_file():
                return Stored(source, read_parts(source, tuple(method.parts)), noted=False)
        alone = [*source.glob("*.pth")]
        if len(alone) == 1 and not (source / METADATA).is_file():  # a published file, in a folder of its own
            return Stored(alone[0], read_state(alone[0]), noted=False)
    verify(source, only=("model.pth",))
    return Stored(source / "model.pth", read_state(source / "model.pth"), (source / METADATA).is_file())


def candidates_of(stored: Stored) -> dict[str, Adopted]:
    """The methods whose published file this may be."""
    found = {name: keys(name).adopt(stored.state) for name, method in METHODS.items() if method.trained}
    return {name: adopted for name, adopted in found.items() if adopted}


def resemblance(stored: Stored) -> str:
    """What a file looks like that does not serve: its values that are no tensors, and whose it may be, for messages."""
    if candidates := candidates_of(stored):
        return f"it looks like one of --method {' or '.join(candidates)}"
    plain = [key for key, value in stored.state.items() if not isinstance(value, Tensor)]
    words = ["no method knows its keys", *([f"beside tensors it holds {', '.join(plain[:5])}"] if plain else [])]
    for name, method in METHODS.items():
        alone = [part for part, key in method.parts.items() if key in stored.state]
        there = [part for part, key in method.parts.items() if f"{part}.{key}" in stored.state]
        if alone:
            what = " or ".join(f"{part}.pth" for part in alone)
            words.append(
                f"it looks like {what} of a published folder of --method {name}; give the folder with all files"
            )
        elif there:
            what = ", ".join(f"{part}.pth" for part in there)
            words.append(f"of the published files of --method {name} it has {what} alone; add the others")
        if alone or there:
            return "; ".join(words)
    return "; ".join(words)
