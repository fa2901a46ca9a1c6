"""The step of SD-ConvTrans, beside the sum of its parts: two passes of the pyramid and one of the transformer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from .train_step import NetworkAlone, Setting, TrainStep
from .turns import beside, in_turn, shown

PYRAMID = ("--no-model-transformer", "--diffusion-kernel", "none")


class Parts:
    """The pyramid with its heads on both pictures, then the transformer: forward and back, no loss, no optimiser."""

    def __init__(self, setting: Setting):
        self.pyramid = NetworkAlone(TrainStep(replace(setting, options=(*setting.options, *PYRAMID))))
        step = TrainStep(setting)
        self.transformer, self.precision = step.model.backbone, step.precision
        self.image = step.model.normalise(step.batches[0].inputs[0])

    def __call__(self) -> Tensor:
        """Take all of them."""
        total = self.pyramid()
        self.transformer.zero_grad()
        with self.precision():
            seen = self.transformer(self.image)
        found = sum(each.float().mean() for each in seen)
        found.backward()
        return total + found.detach()


def main(rounds: int, size: tuple[int, int], batch: int, layers: int = 101) -> None:
    """Print the table."""
    setting = Setting("sd_convtrans", ("--model-num-layers", str(layers)), size=size, batch=batch)
    found = in_turn({"parts": Parts(setting), "step": TrainStep(setting)}, rounds)
    print(
        f"| step of SD-ConvTrans, batches of {batch} at {size[0]}x{size[1]} | sum of its parts, s | step, s | ratio |"
    )
    print(f"|{' --- |' * 4}")
    cells = [shown(found["parts"]), shown(found["step"]), beside(found["step"], found["parts"])]
    print(f"| ResNet-{layers}, fp32 | {' | '.join(cells)} |")
