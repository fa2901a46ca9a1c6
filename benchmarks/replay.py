"""``python -m benchmarks.replay FILE``: a step that training left out, computed again, number by number.

The file is one of ``bad_steps/`` in a run folder: the batch, and the network as it was when the step was found.
"""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import methods
from arguments import options_of
from dataloader.batch import RawBatch, to_device
from engine.device import autocast
from engine.finite import are_finite, quantities
from errors import UserError, reason_of
from methods.method import Training
from storage import descriptors
from storage.weights import load_file

CPU = torch.device("cpu")
NAMED = 10  # NaN or infinite numbers, of the hundreds that may come of the first


def replay(path: Path) -> dict[str, bool]:
    """Numbers of the step by name, in the order in which they come about: which are finite.

    What was masked and refined is taken as it was then; teachers are not needed. Computes on the CPU.

    Raises:
        UserError: when the file cannot be read or is not a kept step.
    """
    content = load_file(path)
    try:
        args = _options(content["options"])
        model = methods.building(args.method).network(args)
        model.load_state_dict(content["model"])
        passes = [[(one["raw"], one["found"]) for one in batches] for batches in content["passes"]]
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path}: holds no step that was left out ({reason_of(error)}); give a file of a run folder's bad_steps/"
        ) from None
    model.train()
    training = methods.training(args.method).training(args, model, lambda *_, **__: _NoTeacher(), autocast(args, CPU))
    finite: dict[str, bool] = {}
    for place, batches in enumerate(passes):
        prefix = f"batch {place + 1}: " if len(passes) > 1 else ""
        finite |= {prefix + name: fine for name, fine in _finite(model, training, batches).items()}
    named = {f"gradient of {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return finite | dict(zip(named, are_finite(named.values()).tolist(), strict=True))


class _NoTeacher(torch.nn.Module):
    """In place of any: what teachers said was kept with the step."""

    def depth_branch(self) -> torch.nn.Module:
        """The same."""
        return self


def _options(stored: Mapping[str, Any]) -> Namespace:
    """Options of the run; those that came later have their defaults."""
    known = {option.name: option.default for option in options_of("train", stored["method"])}
    return Namespace(**known | dict(stored) | {"train_compile": False})


def _finite(model: torch.nn.Module, training: Training, batches: list[tuple[Any, Any]]) -> dict[str, bool]:
    """Which numbers of one pass are finite; its gradients are added up in the network."""
    given = [to_device(RawBatch.of(raw), CPU) for raw, _ in batches]
    outcomes = training.again(model, given, [found for _, found in batches])
    sum(outcome.total for outcome in outcomes).backward()
    named = quantities(outcomes)
    return dict(zip(named, are_finite(named.values()).tolist(), strict=True))


def main() -> int:
    """Print what is finite and what is not; returns the exit code."""
    descriptors.prepare()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="bad_steps/step_<n>.pt of a run folder")
    try:
        finite = replay(parser.parse_args().file)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    bad = [name for name, fine in finite.items() if not fine]
    for name in bad[:NAMED]:
        print(f"{name}: NaN or infinite")
    if bad[NAMED:]:
        print(f"... and what comes of them: {len(bad) - NAMED} more")
    print(f"{sum(finite.values())} of {len(finite)} numbers are finite")
    return 0


if __name__ == "__main__":
    sys.exit(main())
