"""State of an optimiser and its schedule: taken from a checkpoint, or changed where a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR


def load_optimizer(optimizer: Optimizer, content: Mapping[str, Any]) -> None:
    """Continue where a state dict was taken.

    How a step is computed is no matter of the checkpoint: published ones do not say it, and others may differ.

    Raises:
        ValueError: when it is about other parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    places = [place for group in content["param_groups"] for place in group["params"]]
    for place, parameter in zip(places, parameters, strict=True):
        for value in content["state"].get(place, {}).values():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"a moment of shape {tuple(value.shape)} for a tensor of {tuple(parameter.shape)}")
    own = [{"fused": group.get("fused")} for group in optimizer.param_groups]
    groups = [group | mine for group, mine in zip(content["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**content, "param_groups": groups})


@dataclass(frozen=True)
class Rates:
    """Learning rates at the start of a run, epochs between their decays and its factor, weight decays."""

    starts: tuple[float, ...]
    step_size: int
    gamma: float
    decays: tuple[float, ...]

    @classmethod
    def of(cls, optimizer: Optimizer, scheduler: StepLR) -> Rates:
        """Those in use."""
        decays = tuple(group["weight_decay"] for group in optimizer.param_groups)
        return cls(tuple(scheduler.base_lrs), scheduler.step_size, scheduler.gamma, decays)

    def apply(self, optimizer: Optimizer, scheduler: StepLR) -> None:
        """Go on as if they had been in use from the start."""
        now = [start * self.gamma ** (scheduler.last_epoch // self.step_size) for start in self.starts]
        scheduler.load_state_dict(
            scheduler.state_dict()
            | {"base_lrs": [*self.starts], "step_size": self.step_size, "gamma": self.gamma, "_last_lr": now}
        )
        for group, start, rate, decay in zip(optimizer.param_groups, self.starts, now, self.decays, strict=True):
            group |= {"initial_lr": start, "lr": rate, "weight_decay": decay}
