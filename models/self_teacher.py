"""A network as its own teacher: frozen copies of the depth branch of a network that trains."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

KINDS = ("snapshot", "ema", "student")
EMA_DECAY = 0.999


class SelfTeacher:
    """Disparity of images by another state of the network that trains; no gradient, no trace in the network.

    Args:
        network: has `depth_branch()`, a module (B, 3, H, W) in [0, 1] -> (B, 1, H, W).
        kind: `snapshot`, a copy from the start of the epoch; `ema`, the running mean of the weights (decay 0.999);
            `student`, the network itself, in evaluation mode for the time of the call.
        fixed: a branch that never changes, used in place of all these.
    """

    def __init__(self, network: nn.Module, kind: str = "snapshot", fixed: nn.Module | None = None):
        self.network, self.kind = network, "fixed" if fixed else kind
        self._branch: nn.Module | None = fixed.eval().requires_grad_(False) if fixed else None

    @property
    def ready(self) -> bool:
        """Whether it can be asked."""
        return self.kind == "student" or self._branch is not None

    def begin_epoch(self) -> None:
        """Take the copy this epoch is taught by; a running mean goes on."""
        if self.kind == "snapshot" or not self.ready:
            self._branch = self._copy()

    def end_epoch(self, last: bool) -> None:
        """Forget a copy that the next epoch takes anew, or, after the last one, any: no checkpoint holds it."""
        if self.kind == "snapshot" or (last and self.kind == "ema"):
            self._branch = None

    @torch.no_grad()
    def after_step(self, bad: Tensor | float = 0.0) -> None:
        """Follow the network, where the kind asks for it and the step was not left out (`bad` is 1)."""
        if self.kind != "ema" or self._branch is None:
            return
        live = self.network.depth_branch()
        mine = list(self._branch.parameters())
        steps = torch._foreach_sub(list(live.parameters()), mine)
        torch._foreach_mul_(steps, (1 - EMA_DECAY) * (1 - bad))
        torch._foreach_add_(mine, steps)
        for mine, other in zip(self._branch.buffers(), live.buffers(), strict=True):
            mine.copy_(other)

    def _copy(self) -> nn.Module:
        return copy.deepcopy(self.network.depth_branch()).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Disparity (B, 1, H, W) in (0, 1) of images (B, 3, H, W) in [0, 1], always with running statistics."""
        if self.kind != "student":
            return self._branch(image)
        was_training = self.network.training
        self.network.eval()
        try:
            return self.network.depth_branch()(image)
        finally:
            self.network.train(was_training)

    def state_dict(self) -> dict[str, Any]:
        """What a run that stops now needs to go on alike; empty where nothing is remembered."""
        keep = self._branch is not None and self.kind in ("snapshot", "ema")
        return {"kind": self.kind, "branch": self._branch.state_dict()} if keep else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken; a state of another kind is left alone."""
        if state.get("kind") != self.kind:
            return
        branch = self._copy()
        branch.load_state_dict(state["branch"])
        self._branch = branch
