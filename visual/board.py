"""TensorBoard files of a run, which must never cost the run itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)


class Board:
    """Writers by name, each with a folder of its own, made where something is written.

    Where one of them cannot write, say on a full disk, a warning says so once and nothing more is written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._given_up = False
        threading.excepthook = _told_by_the_board

    def scalar(self, writer: str, name: str, value: float, step: int) -> None:
        """Write one number."""
        self._attempt(lambda: self._writer(writer).add_scalar(name, value, step))

    def image(self, writer: str, name: str, picture: Tensor, step: int) -> None:
        """Write one picture (3, H, W) in [0, 1]."""
        self._attempt(lambda: self._writer(writer).add_image(name, picture, step))

    def flush(self) -> None:
        """Bring to the disk what was written."""
        for writer in self._writers.values():
            self._attempt(writer.flush)

    def close(self) -> None:
        """Flush, and end the threads that write."""
        for writer in self._writers.values():
            self._attempt(writer.close)

    def _writer(self, name: str) -> SummaryWriter:
        if name not in self._writers:
            self._writers[name] = SummaryWriter(str(self.folder / name))
        return self._writers[name]

    def _attempt(self, write: Callable[[], None]) -> None:
        if self._given_up:
            return
        try:
            write()
        except OSError as error:
            self._given_up = True
            log.warning(
                "%s: TensorBoard cannot be written (%s); the run goes on without it", self.folder, error.strerror
            )


def _told_by_the_board(fault: threading.ExceptHookArgs) -> None:
    """Threads of TensorBoard hand on what ends them; it need not be shown as a traceback as well."""
    if not (isinstance(fault.exc_value, OSError) and type(fault.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(fault)
