"""Optimiser and learning rate: built from options, taken from checkpoints."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

SGD_MOMENTUM = 0.9


def build_optimizer(args: Namespace, groups: Sequence[dict[str, Any]]) -> Optimizer:
    """Optimiser of ``--train-optimizer``, fused: it can leave out a step on the device.

    groups: parameter groups; those without ``lr`` or ``weight_decay`` get the values of the options
    """
    common = {"lr": args.train_learning_rate, "weight_decay": args.train_weight_decay, "fused": True}
    match args.train_optimizer:
        case "adam":
            return torch.optim.Adam(groups, eps=args.train_adam_eps, **common)
        case "adamw":
            # PyTorch 2.6 does not note it, and its AdamW looks like Adam then.
            groups = [{"decoupled_weight_decay": True, **group} for group in groups]
            return torch.optim.AdamW(groups, eps=args.train_adam_eps, **common)
        case "sgd":
            optimizer = torch.optim.SGD(groups, momentum=SGD_MOMENTUM, **common)
            # Made by the first step, and without values where that is left out.
            for group in optimizer.param_groups:
                optimizer.state.update({p: {"momentum_buffer": torch.zeros_like(p)} for p in group["params"]})
            return optimizer
    raise ValueError(f"build_optimizer: {args.train_optimizer!r} is unknown")


@dataclass(frozen=True)
class Rule:
    """How the learning rate changes; epochs and optimiser steps count from 0.

    kind:       step: times `gamma` every `step_size` epochs; multistep: at each of `milestones`; exponential: after
                every epoch; cosine, sqrt: from 1 to `end` over all steps
    end:        last rate of cosine and sqrt, a share of the first
    warmup:     steps over which the rate rises to what it would be
    steps:      optimiser steps per epoch
    epochs:     of the run, without those at its end that have the last rate
    """

    kind: str = "step"
    step_size: int = 15
    gamma: float = 0.1
    milestones: tuple[int, ...] = ()
    end: float = 0.0
    warmup: int = 0
    steps: int = 1
    epochs: int = 1

    def rate(self, epoch: int, step: int) -> float:
        """Factor of the learning rate in step `step` of an epoch, without warm-up."""
        done = min((epoch * self.steps + step) / max(self.epochs * self.steps, 1), 1.0)
        match self.kind:
            case "step":
                return self.gamma ** (epoch // self.step_size)
            case "multistep":
                return self.gamma ** sum(epoch >= milestone for milestone in self.milestones)
            case "exponential":
                return self.gamma**epoch
            case "cosine":
                return self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2
            case "sqrt":
                return self.end + (1 - self.end) * math.sqrt(1 - done)
        raise ValueError(f"Rule: {self.kind!r} is unknown")

    def warm(self, epoch: int, step: int) -> float:
        """Share of the rate that warm-up allows, in (0, 1]."""
        return min(1.0, (epoch * self.steps + step + 1) / max(self.warmup, 1))


def build_rule(args: Namespace) -> Rule:
    """The rule of the options."""
    gamma = args.train_learning_rate if args.train_scheduler_gamma == "released" else args.train_scheduler_gamma
    return Rule(
        kind=args.train_scheduler,
        step_size=args.train_scheduler_step_size,
        gamma=gamma,
        milestones=args.train_scheduler_milestones,
        end=args.train_scheduler_eta_min / args.train_learning_rate if args.train_learning_rate else 0.0,
        warmup=args.train_warmup_steps,
        steps=math.ceil(args.train_batches_per_epoch / args.train_accumulate),
        epochs=decaying_epochs(args),
    )


def decaying_epochs(args: Namespace) -> int:
    """Epochs over which cosine and sqrt fall: without --train-final-epochs, where any are left without them."""
    left = args.train_num_epochs - args.train_final_epochs
    return left if left > 0 else args.train_num_epochs


@dataclass(frozen=True)
class Settings:
    """First learning rates and weight decays of the parameter groups, and the rule."""

    starts: tuple[float, ...]
    decays: tuple[float, ...]
    rule: Rule


class Schedule:
    """Sets the learning rates of an optimiser; its state dict has the form of the published ``scheduler.pth``."""

    def __init__(self, optimizer: Optimizer, rule: Rule):
        self.optimizer, self.rule, self.epoch = optimizer, rule, 0
        self._starts = tuple(float(group["lr"]) for group in optimizer.param_groups)

    @property
    def settings(self) -> Settings:
        """Those in use."""
        decays = tuple(group["weight_decay"] for group in self.optimizer.param_groups)
        return Settings(self._starts, decays, self.rule)

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._starts, self.rule = settings.starts, settings.rule
        for group, decay in zip(self.optimizer.param_groups, settings.decays, strict=True):
            group["weight_decay"] = decay
        self.set(self.epoch, 0)

    def set(self, epoch: int, step: int, warm: bool = False) -> None:
        """Let the optimiser have the rates of this step; with `warm`, as far as warm-up allows."""
        self.epoch = epoch
        share = self.rule.warm(epoch, step) if warm else 1.0
        for group, start in zip(self.optimizer.param_groups, self._starts, strict=True):
            group["lr"] = start * self.rule.rate(epoch, step) * share

    def rates(self) -> dict[str, float]:
        """Learning rates in use: that of the first parameter group, and those of others as far as they differ."""
        first, *others = (float(group["lr"]) for group in self.optimizer.param_groups)
        further = {f"learning_rate/{number}": rate for number, rate in enumerate(others, 1) if rate != first}
        return {"learning_rate": first} | further

    def state_dict(self) -> dict[str, Any]:
        """As ``torch.optim.lr_scheduler.StepLR`` has it, with what other rules need besides."""
        more = {} if self.rule.kind == "step" else {"kind": self.rule.kind, "milestones": list(self.rule.milestones)}
        return {
            "step_size": self.rule.step_size,
            "gamma": self.rule.gamma,
            "base_lrs": list(self._starts),
            "last_epoch": self.epoch,
            "_step_count": self.epoch + 1,
            "_get_lr_called_within_step": False,
            "_last_lr": [start * self.rule.rate(self.epoch, 0) for start in self._starts],
            **more,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state dict was taken, a published one, too.

        Raises:
            KeyError, TypeError, ValueError: when it is no such state dict, or one for other parameter groups.
        """
        starts = tuple(float(rate) for rate in state["base_lrs"])
        if len(starts) != len(self._starts):
            raise ValueError(f"rates of {len(starts)} parameter groups for {len(self._starts)}")
        rule = replace(
            self.rule,
            kind=str(state.get("kind", "step")),
            step_size=int(state["step_size"]),
            gamma=float(state["gamma"]),
            milestones=tuple(int(epoch) for epoch in state.get("milestones", ())),
        )
        rule.rate(0, 0)  # raises where the kind is unknown
        self._starts, self.rule, self.epoch = starts, rule, int(state["last_epoch"])
        self.set(self.epoch, 0)


def load_optimizer(optimizer: Optimizer, content: Mapping[str, Any]) -> None:
    """Continue where a state dict was taken.

    How a step is computed is no matter of the checkpoint: published ones do not say it, and others may differ.

    Raises:
        ValueError: when it is about other parameters or of another kind.
    """
    theirs, ours = ({_kind(group) for group in groups} for groups in (content["param_groups"], optimizer.param_groups))
    if theirs != ours:
        raise ValueError(f"a state of {' and '.join(sorted(theirs))} for {' and '.join(sorted(ours))}")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    indices = [index for group in content["param_groups"] for index in group["params"]]
    if len(indices) != len(parameters):
        raise ValueError(f"a state of {len(indices)} tensors for {len(parameters)}")
    for index, parameter in zip(indices, parameters, strict=True):
        for value in content["state"].get(index, {}).values():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"a moment of shape {tuple(value.shape)} for a tensor of {tuple(parameter.shape)}")
    own = [{"fused": group.get("fused")} for group in optimizer.param_groups]
    groups = [group | mine for group, mine in zip(content["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**content, "param_groups": groups})
    for parameter, state in optimizer.state.items():  # fused steps walk the memory of a weight and of its moments alike
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim() and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def _kind(group: Mapping[str, Any]) -> str:
    """Which optimiser a parameter group belongs to; files of older versions of torch do not name the decay of AdamW."""
    if "momentum" in group:
        return "sgd"
    return "adamw" if group.get("decoupled_weight_decay") else "adam"
