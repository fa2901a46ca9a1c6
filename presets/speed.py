"""Options that every method has in a command: how fast it computes, and what that costs. Imports no torch."""

from __future__ import annotations

from .option import Group, Option

COMPILE = Option(
    "--sys-compile",
    False,
    "compile the network with torch.compile: worth it for some hundred images, the first ones take a minute",
)
PRECISION_REPORT = Option(
    "--precision-report",
    False,
    "judge every set once more in fp32, not compiled, and print how each metric changes; with fp32 asked for, what "
    "bf16 would change",
)
SPEED: dict[str, tuple[Group, ...]] = {
    "eval_depth": (("speed", (COMPILE, PRECISION_REPORT)),),
    **{command: (("speed", (COMPILE,)),) for command in ("eval_segmentation", "eval_pose", "inference")},
}
"""Groups by command; training has --train-compile."""
