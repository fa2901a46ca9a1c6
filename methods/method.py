"""What the commands know of a system before it is built, and what they ask of it then. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from presets.option import Group

if TYPE_CHECKING:
    from torch import Tensor

    from dataloader.batch import Batch
    from engine.outcome import Outcome
    from engine.run_state import Stateful
    from models.prediction import Prediction

Task = Literal["depth", "segmentation", "pose"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """Facts of a system. Its folder holds `build.py`, `training.py` and `keys.py`; see docs/adding_a_method.md.

    name:    value of --method, name of its folder and of its preset
    about:   one sentence, for --help and the table of README
    tasks:   what its network can be asked for
    options: groups of its options by command; a command that is missing does not take the method
    trained: False for frozen networks, which --model-load names instead of a checkpoint
    parts:   files of a published folder, without .pth, each with a key that tells it; a folder with the first is one
    broken:  what of its published code did not work, in a few words, for the table of README; "" where all did
    pair:    where networks are published in two files, a key that tells that of the encoder, and one for the decoder's
    """

    name: str
    about: str
    tasks: tuple[Task, ...]
    options: Mapping[str, tuple[Group, ...]]
    trained: bool = True
    parts: Mapping[str, str] = field(default_factory=dict)
    pair: tuple[str, ...] = ()
    broken: str = ""


class Network(Protocol):
    """A network in use: a torch module that takes RGB in [0, 1] and normalises it itself.

    It may have `view`, an `InputView`, where it looks at images in evaluation otherwise than resized as a whole, and
    `views`, such ones by data set; with `input_fit` "multiple" it sees them at their own size, but for the nearest
    multiple of `size_divisor`;
    `input_filter`, "bilinear" by default or "lanczos", with which they are resized for it; `describe()`, what
    metrics.json tells of it. `predict_motion(first, second)` serves eval_pose.py; `outputs`, `depth_branch` and
    `depth_range` let its disparity be refined, see losses/patches/use.py.
    """

    def predict(self, image: Tensor, tasks: Sequence[Task]) -> Prediction:
        """Predictions for the tasks, as far as the network has them, of images (B, 3, H, W)."""


class Training(Protocol):
    """What a method does with batches. It holds its teachers, so no checkpoint, optimiser or DDP sees them.

    Attributes:
        groups: parameter groups of the optimiser
        parts:  what a checkpoint keeps besides network and optimiser, by name
    """

    groups: list[dict[str, Any]]
    parts: Mapping[str, Stateful]

    def begin_epoch(self, epoch: int, batch: int) -> None:
        """Start an epoch, or, where `batch` > 0, go on inside it after what checkpoints keep was loaded."""

    def step(self, network: Callable, batches: Sequence[Batch], epoch: int, batch: int) -> list[Outcome]:
        """Forward pass and losses, one outcome per data set; calls `network`, wrapped in DDP or not, exactly once."""

    def again(self, network: Callable, batches: Sequence[Batch], found: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """A step that was left out, for a second look; `found`: `Outcome.found` of every data set."""

    def after_step(self, bad: Tensor) -> None:
        """The weights have changed; not where `bad` is 1: the step was left out and leaves no trace."""

    def drop_unfinished(self) -> None:
        """Forget the batches since the last step of the optimiser: they will come again."""

    def end_epoch(self, epoch: int) -> dict[str, dict[str, float]]:
        """Close an epoch, before its checkpoint is written; scalars for the log, by the name of their part."""


@dataclass(frozen=True)
class Adopted:
    """A published file of this method.

    state:   tensors under the keys of our network
    options: what the file tells of the network, by name of option
    doubts:  option that the file tells -> what to tell the user where nobody else says it
    unused:  number of tensors that no network needs
    lacks:   tasks the file holds nothing for, and how the keys of what they need begin
    """

    state: Mapping[str, Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)
    unused: int = 0
    lacks: Mapping[Task, tuple[str, ...]] = field(default_factory=dict)
